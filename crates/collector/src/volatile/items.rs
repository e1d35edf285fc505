//! A section of the listing: as many items as fit its share.

use serde::{Serialize, Serializer};
use serde_json::value::{RawValue, to_raw_value};

/// The items, already written.
#[derive(Debug)]
pub(super) struct Items {
    list: Vec<Box<RawValue>>,
    left: usize,
    cut: bool,
}

impl Items {
    /// A section of at most `bytes` of JSON.
    pub(super) fn within(bytes: usize) -> Self {
        Self { list: Vec::new(), left: bytes, cut: false }
    }

    /// Takes one more, or marks the section as cut.
    pub(super) fn add(&mut self, item: &impl Serialize) {
        // Our own types have string keys and finite numbers, so that writing them cannot fail.
        let Ok(item) = to_raw_value(item) else { return self.cut = true };
        match self.left.checked_sub(item.get().len() + 1) {
            // Nothing smaller slips in behind what did not fit: an end is easier to read than holes.
            Some(left) if !self.cut => {
                self.left = left;
                self.list.push(item);
            }
            _ => self.cut = true,
        }
    }

    /// Marks the section as cut.
    pub(super) fn cut_here(&mut self) {
        self.cut = true;
    }

    /// Whether there was more.
    pub(super) fn cut(&self) -> bool {
        self.cut
    }
}

impl Serialize for Items {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.list)
    }
}
