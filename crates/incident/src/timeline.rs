//! The timeline in Timesketch's form.
