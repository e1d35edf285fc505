//! What went wrong, as the result tells it: bounded, the first and the last of it.

use incident::text::bounded;

/// The most that are kept; one more line says how many were not.
const MOST: usize = 38;
/// From where on the older ones go when there are more.
const FIRST_KEPT: usize = 18;
/// The most characters of each.
const LONGEST: usize = 300;

/// The list.
#[derive(Debug, Default, Clone)]
pub struct Errors {
    list: Vec<String>,
    dropped: u64,
}

impl Errors {
    /// Adds one. What came just before is not said again.
    pub fn note(&mut self, error: &str) {
        let words: Vec<&str> = error.split_whitespace().collect();
        let error = bounded(&words.join(" "), LONGEST);
        if self.list.last() == Some(&error) {
            return;
        }
        if self.list.len() >= MOST {
            self.list.remove(FIRST_KEPT);
            self.dropped += 1;
        }
        self.list.push(error);
    }

    /// The list, in the order in which they came.
    pub fn list(&self) -> Vec<String> {
        let mut list = self.list.clone();
        if self.dropped > 0 {
            list.insert(FIRST_KEPT, format!("{} more errors are not shown", self.dropped));
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_errors_are_kept_and_the_others_counted() {
        let mut errors = Errors::default();
        for number in 0..1_000 {
            errors.note(&format!("error {number}"));
            errors.note(&format!("error {number}"));
        }
        let list = errors.list();
        assert_eq!((list[0].as_str(), list[38].as_str()), ("error 0", "error 999"));
        assert_eq!(list[18], "962 more errors are not shown");
        assert_eq!(list.len(), 39);
    }

    #[test]
    fn an_error_is_one_bounded_line() {
        let mut errors = Errors::default();
        errors.note(&format!("error: a\ncaused by:\n    0: {}\u{1b}[31m", "x".repeat(1_000)));
        let list = errors.list();
        assert!(list[0].starts_with("error: a caused by: 0: xxx"), "{}", list[0]);
        assert_eq!(list[0].chars().count(), 300);
        assert!(!list[0].contains(char::is_control));
    }
}
