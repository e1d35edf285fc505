//! The addresses behind a name, asked for once by each client.
//!
//! The HTTP client asks for a name before each request, though it has a connection, and in a thread of its own each time: that
//! is a lookup through the target's resolver for each of up to 10,000 parts, and threads cost the capture more than the CRC.
//! A client whose request failed is replaced ([`crate::upload`], [`crate::feed`]), and with it the addresses.

use std::sync::{Mutex, PoisonError};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::http::uri::{Authority, Scheme};
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// A resolver that asks for a name again only if another one was asked for meanwhile.
#[derive(Debug, Default)]
pub struct Names<R = DefaultResolver> {
    resolver: R,
    last: Mutex<Option<(Name, ResolvedSocketAddrs)>>,
}

/// What the addresses are of: the port is the scheme's where the URL has none.
type Name = (Option<Scheme>, Option<Authority>);

impl<R: Resolver> Resolver for Names<R> {
    fn resolve(&self, uri: &Uri, config: &Config, timeout: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let name = (uri.scheme().cloned(), uri.authority().cloned());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, addresses)) = last.as_ref().filter(|(known, _)| *known == name) {
            return Ok(addresses.clone());
        }
        let addresses = self.resolver.resolve(uri, config, timeout)?;
        *last = Some((name, addresses.clone()));
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Counts how often it was asked; knows every name but one.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl Resolver for Counting {
        fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
            let asked = self.0.fetch_add(1, Ordering::Relaxed);
            if uri.host() == Some("unknown.test") {
                return Err(ureq::Error::HostNotFound);
            }
            let mut addresses = self.empty();
            addresses.push(([127, 0, 0, 1], u16::try_from(asked).unwrap()).into());
            Ok(addresses)
        }
    }

    #[test]
    fn a_name_is_asked_for_once_as_long_as_it_is_the_same_and_was_found() {
        let names = Names::<Counting>::default();
        for (step, (url, asked)) in [
            ("https://bucket.test/part?a=1", 1),
            ("https://bucket.test/part?a=2", 1),
            ("https://other.test/part", 2),
            ("https://other.test/part", 2),
            ("https://other.test:8443/part", 3),
            ("https://bucket.test/part?a=3", 4),
            ("http://bucket.test/part?a=3", 5),
            ("https://unknown.test/part", 6),
            ("https://unknown.test/part", 7),
            ("http://bucket.test/part?a=4", 7),
        ]
        .into_iter()
        .enumerate()
        {
            let found = names.resolve(&url.parse().unwrap(), &Config::default(), NextTimeout::default());
            assert_eq!(found.is_ok(), !url.contains("unknown"), "step {step}, {url}: {found:?}");
            assert_eq!(names.resolver.0.load(Ordering::Relaxed), asked, "step {step}, {url}");
        }
    }

    #[test]
    fn what_is_given_again_are_the_same_addresses() {
        let names = Names::<Counting>::default();
        let url: Uri = "https://bucket.test/".parse().unwrap();
        let ask = || names.resolve(&url, &Config::default(), NextTimeout::default()).unwrap().to_vec();
        assert_eq!(ask(), ask());
    }
}
