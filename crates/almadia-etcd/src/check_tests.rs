//! The checks against their slow twins, and each rule by its case.

use super::*;
