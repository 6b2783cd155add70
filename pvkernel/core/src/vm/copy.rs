//! Between the kernel and a program: by lookup, never by following its pointers.

use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::space::{Space, Want};
use super::PAGE;
use pvkernel_abi::{Errno, USER_END};

impl Space {
    /// Copies out of the program; what was never touched reads as zeros.
    ///
    /// # Errors
    /// `EFAULT`; part of it may have been copied.
    pub fn read(&self, address: u64, to: &mut [u8]) -> Result<(), Errno> {
        check_range(address, to.len())?;
        let mut at = address;
        let mut rest = to;
        while !rest.is_empty() {
            let (page, offset, len) = piece(at, rest.len());
            let (now, behind) = rest.split_at_mut(len);
            let region = self.region_for(page, Want::Read)?;
            match self.regions[region].slot(page).frame() {
                Some(frame) => self.pool.user().read(frame, offset, now),
                None => now.fill(0),
            }
            at += len as u64;
            rest = behind;
        }
        Ok(())
    }

    /// Copies into the program.
    ///
    /// # Errors
    /// `EFAULT`, `ENOMEM`; part of it may have been copied.
    pub fn write(&mut self, address: u64, from: &[u8]) -> Result<(), Errno> {
        check_range(address, from.len())?;
        self.put(address, from, Want::Write)
    }

    /// Makes sure that `write` will do, for what is read and cannot be put back.
    ///
    /// # Errors
    /// `EFAULT`, `ENOMEM`.
    pub fn prepare_write(&mut self, address: u64, len: usize) -> Result<(), Errno> {
        check_range(address, len)?;
        let (mut at, mut rest) = (address, len);
        while rest > 0 {
            let (page, _, len) = piece(at, rest);
            let region = self.region_for(page, Want::Write)?;
            match self.regions[region].slot(page).frame() {
                Some(frame) => self.own(region, page, frame)?,
                None => self.fresh(region, page)?,
            };
            at += len as u64;
            rest -= len;
        }
        Ok(())
    }

    /// Fills a region while a program is loaded: also one that it may not write itself.
    ///
    /// # Errors
    /// As `write`.
    pub fn load(&mut self, address: u64, from: &[u8]) -> Result<(), Errno> {
        check_range(address, from.len())?;
        self.put(address, from, Want::Read)
    }

    fn put(&mut self, address: u64, from: &[u8], want: Want) -> Result<(), Errno> {
        let mut at = address;
        let mut rest = from;
        while !rest.is_empty() {
            let (page, offset, len) = piece(at, rest.len());
            let (now, behind) = rest.split_at(len);
            let region = self.region_for(page, want)?;
            let frame = match self.regions[region].slot(page).frame() {
                Some(frame) => self.own(region, page, frame)?,
                None => self.fresh(region, page)?,
            };
            self.pool.user().write(frame, offset, now);
            at += len as u64;
            rest = behind;
        }
        Ok(())
    }

    /// Reads a value.
    ///
    /// # Errors
    /// `EFAULT`.
    pub fn read_value<T: FromBytes + IntoBytes>(&self, address: u64) -> Result<T, Errno> {
        let mut value = T::new_zeroed();
        self.read(address, value.as_mut_bytes())?;
        Ok(value)
    }

    /// Writes a value.
    ///
    /// # Errors
    /// `EFAULT`, `ENOMEM`.
    pub fn write_value<T: IntoBytes + Immutable>(
        &mut self,
        address: u64,
        value: &T,
    ) -> Result<(), Errno> {
        self.write(address, value.as_bytes())
    }

    /// A copy of bytes of the program, `max` at most.
    ///
    /// # Errors
    /// `too_long` for more, `EFAULT`, `ENOMEM`.
    pub fn bytes(
        &self,
        address: u64,
        len: u64,
        max: usize,
        too_long: Errno,
    ) -> Result<Vec<u8>, Errno> {
        let len = usize::try_from(len).ok().filter(|len| *len <= max).ok_or(too_long)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(len, 0);
        self.read(address, &mut bytes)?;
        Ok(bytes)
    }
}

fn check_range(address: u64, len: usize) -> Result<(), Errno> {
    let end = address.checked_add(len as u64).filter(|end| *end <= USER_END);
    end.map(|_| ()).ok_or(Errno::EFAULT)
}

/// The page of an address, the offset there, and how much of `len` is in it.
fn piece(at: u64, len: usize) -> (u64, usize, usize) {
    let offset = (at % PAGE) as usize;
    (at - offset as u64, offset, len.min(PAGE as usize - offset))
}
