//! The raw call, for guests that make wrong calls and for guests that count what a call costs.

/// Makes any hypercall. The test guest exists to make wrong calls; each caller answers for calls
/// that the hypervisor may grant.
#[inline]
pub fn hypercall(nr: u64, args: &[u64]) -> i64 {
    let mut all = [0; 5];
    all[..args.len()].copy_from_slice(args);
    // SAFETY: the cases pass either arguments that must be refused, or valid memory of theirs and
    // changes that they undo.
    unsafe { pvkernel_xen::hypercall::raw(nr, all) }
}

/// A hypercall with a command and a structure.
pub fn command<T>(nr: u64, cmd: u32, arg: &mut T) -> i64 {
    hypercall(nr, &[u64::from(cmd), address(arg)])
}

/// Address of a value, for arguments.
pub fn address<T: ?Sized>(value: &mut T) -> u64 {
    core::ptr::from_mut(value).cast::<u8>() as u64
}
