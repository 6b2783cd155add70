//! Mapped frames of the simulated machine.

use super::world::World;
use super::FakeHypervisor;
use crate::client::{Access, ForeignMemory};
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use hypercall_abi::{DomId, Errno, Mfn, PAGE_SIZE};

/// Frames mapped by the caller.
pub struct FakeMapping {
    world: Rc<RefCell<World>>,
    frames: Vec<Mfn>,
    access: Access,
}

impl FakeHypervisor {
    pub(super) fn map(
        &self,
        domain: DomId,
        frames: &[Mfn],
        access: Access,
    ) -> Result<FakeMapping, Errno> {
        let mut world = self.world.borrow_mut();
        world.call("mmu_update")?;
        let owner = world.domain(domain)?;
        let owns = |frame: &Mfn| {
            *frame == owner.shared_info
                || *frame == owner.grant_table
                || owner.frames.values().any(|own| own == frame)
        };
        if !frames.iter().all(owns) {
            return Err(Errno::EINVAL);
        }
        if access == Access::ReadWrite && owner.is_pinned {
            let root = owner.context.as_ref().map(|context| Mfn::from_maddr(context.ctrlreg[3]));
            if root.is_some_and(|root| frames.contains(&root)) {
                return Err(Errno::EPERM);
            }
        }
        for frame in frames {
            *world.mapped.entry(frame.get()).or_insert(0) += 1;
        }
        world.mappings += 1;
        Ok(FakeMapping { world: Rc::clone(&self.world), frames: frames.to_vec(), access })
    }
}

impl FakeMapping {
    /// Calls `part` with each frame a range of bytes touches: frame, offset in it, offset in the
    /// range, length.
    fn each(&self, offset: usize, len: usize, mut part: impl FnMut(Mfn, usize, usize, usize)) {
        let mut done = 0;
        while done < len {
            let at = offset + done;
            let frame = self.frames[at / PAGE_SIZE];
            let in_page = at % PAGE_SIZE;
            let now = (PAGE_SIZE - in_page).min(len - done);
            part(frame, in_page, done, now);
            done += now;
        }
    }
}

impl ForeignMemory for FakeMapping {
    fn read(&self, offset: usize, into: &mut [u8]) {
        let world = self.world.borrow();
        let len = into.len();
        self.each(offset, len, |frame, in_page, done, now| {
            world.read(frame, in_page, &mut into[done..done + now]);
        });
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        assert_eq!(self.access, Access::ReadWrite, "write through a read-only mapping");
        let mut world = self.world.borrow_mut();
        self.each(offset, bytes.len(), |frame, in_page, done, now| {
            world.write(frame, in_page, &bytes[done..done + now]);
        });
    }

    fn zero(&self, offset: usize, len: usize) {
        self.write(offset, &alloc::vec![0; len]);
    }

    fn load_u32(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        self.read(offset, &mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn store_u32(&self, offset: usize, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }
}

impl Drop for FakeMapping {
    fn drop(&mut self) {
        let mut world = self.world.borrow_mut();
        for frame in &self.frames {
            let count = world.mapped.get(&frame.get()).copied().unwrap_or(0);
            match count {
                0 | 1 => world.mapped.remove(&frame.get()),
                _ => world.mapped.insert(frame.get(), count - 1),
            };
        }
        world.mappings -= 1;
        world.reap();
    }
}
