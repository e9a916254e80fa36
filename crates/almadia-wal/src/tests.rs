//! Tests of the whole log, on a disk in memory unless they say otherwise.

mod support;

mod basics;
