//! Time.

/// Clocks. The one-shot timer belongs to `Cpu::idle`.
pub trait Clock: Sync {
    /// Nanoseconds since the machine started; never runs backwards.
    fn now_ns(&self) -> u64;

    /// Seconds and nanoseconds since 1970.
    fn wall_clock(&self) -> (u64, u32);
}
