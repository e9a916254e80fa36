//! Tests of the whole log, on a disk in memory unless they say otherwise.

mod support;

mod basics;
mod damage;
mod faults;
mod format;
mod model;
mod power;
