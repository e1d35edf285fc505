//! The collector: what runs on the target. It reads memory, hashes it and uploads it in parts, with presigned URLs alone.
//!
//! INVARIANT: nothing is written on the target: memory goes from the kernel through a few buffers to the network. What is
//! written over on a disk or in the page cache is evidence.
//! INVARIANT: the collector rather ends than harms the target: it offers itself to the kernel first when memory gets short,
//! and does not start where it would make it short.
//! INVARIANT: whatever is read from the target is hostile: read with a bound, never waited for without one, never run.
//! INVARIANT: it ends by its deadline, and says in one last line how it ended.
//! INVARIANT: no URL is ever printed or sent: who has one can upload.
//!
//! Map: [`cli`] is the command line, [`capture`] the whole run. [`source`] reads memory, which [`lime`] puts as an image
//! into [`stream`]: that cuts it into parts and hashes them; [`upload`] sends them with the URLs that [`feed`] fetches; [`files`] takes what comes beside the
//! image. They share one [`board`].
//!
//! TLS is rustls with the roots of Mozilla compiled in: the target's own trust store, which its owner may have changed, is not
//! asked. Names are resolved by the C library, once by each client ([`names`]). In a static binary glibc still loads the
//! target's NSS modules where `/etc/nsswitch.conf` names others than `files` and `dns`, and these must be of a similar version:
//! where that fails, no name is resolved and nothing is captured. What a resolver that the attacker controls answers is
//! stopped by TLS.

pub mod board;
pub mod capture;
pub mod cli;
pub mod errors;
pub mod feed;
pub mod files;
pub mod guarded;
pub mod http;
pub mod kcore;
pub mod ledger;
pub mod lime;
pub mod names;
pub mod own;
pub mod result;
pub mod retry;
pub mod sizes;
pub mod source;
pub mod stream;
pub mod upload;
pub mod volatile;
pub mod watch;

use std::path::PathBuf;
use std::time::Duration;

/// How the collector runs, beside what the plan says.
#[derive(Debug, Clone)]
pub struct Options {
    /// Below which `proc`, `sys` and `etc` are read.
    pub root: PathBuf,
    /// A file that is the memory, instead of the kernel's.
    pub file: Option<PathBuf>,
    /// How long things may take.
    pub times: Times,
}

impl Default for Options {
    fn default() -> Self {
        Self { root: PathBuf::from("/"), file: None, times: Times::default() }
    }
}

/// How long things may take.
#[derive(Debug, Clone)]
pub struct Times {
    /// To resolve a name, and to connect.
    pub connect: Duration,
    /// How long an exchange may go on without a byte being taken.
    pub stall: Duration,
    /// The pause after the first failure; it doubles with each further one.
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// How often to look for the next wave; as the wave says where absent.
    pub poll: Option<Duration>,
    /// How long to wait for a URL when none comes; as long as the wave's hold where absent.
    pub patience: Option<Duration>,
    /// For one process or file of the listing: on a hostile target a read may hang for ever.
    pub one_read: Duration,
    /// For the whole listing.
    pub listing: Duration,
    /// For the upload of the result after everything else.
    pub last_word: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            stall: Duration::from_mins(1),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(30),
            poll: None,
            patience: None,
            one_read: Duration::from_secs(2),
            listing: Duration::from_secs(30),
            last_word: Duration::from_secs(30),
        }
    }
}
