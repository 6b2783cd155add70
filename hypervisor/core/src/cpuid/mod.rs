//! cpuid.
