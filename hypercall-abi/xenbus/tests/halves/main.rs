//! How two halves of a device find together and part, in a model of the store.
//!
//! `scripts` are short exchanges with a half of somebody else, `every_world` goes through everything that
//! can come of two of ours and those who disturb them, and `histories` are long random ones of it.

mod every_world;
mod histories;
mod model;
mod scripts;
mod space;
mod turns;
