//! How often calls are sent again that EC2 refuses for their number, and for how long.
//!
//! Many targets at once share one bucket for `ModifyNetworkInterfaceAttribute`: a hundred calls, then five each second. Of those
//! who wait for it, each gets as much as it asks. So what is in the wide-open group asks twice a second, and what is not yet in
//! it every few seconds; and what can wait for lock-down asks once.

use std::time::Duration;

use aws_sdk_ec2::config::Builder;
use aws_sdk_ec2::config::retry::{RetryConfig, RetryPartition, TokenBucket};
use aws_sdk_ec2::config::timeout::TimeoutConfig;

/// How long EC2 may take to answer one call: a call that hangs must not keep an interface open until the function ends.
const ANSWER: Duration = Duration::from_secs(10);

/// The pace of the calls that move interfaces.
#[derive(Debug, Clone)]
pub struct Pace {
    opening: RetryConfig,
    closing: RetryConfig,
}

impl Pace {
    /// As a function takes it. Delays have full jitter, so that on average half of each is waited.
    pub fn of_many() -> Self {
        Self {
            // Up to 44 s. Until then the interface is as it was.
            opening: again(7, Duration::from_secs(2), Duration::from_secs(10)),
            // Up to 11 s. After that the group's own rules go, which takes calls from other buckets.
            closing: again(24, Duration::from_millis(250), Duration::from_millis(500)),
        }
    }

    /// Each call is sent once.
    pub fn once() -> Self {
        Self { opening: RetryConfig::disabled(), closing: RetryConfig::disabled() }
    }

    /// For a call that moves an interface into the conversion group.
    pub(crate) fn opening(&self) -> Builder {
        Builder::new().retry_config(self.opening.clone())
    }

    /// For a call that moves an interface out of it, or closes it.
    pub(crate) fn closing(&self) -> Builder {
        Builder::new().retry_config(self.closing.clone())
    }
}

/// For a call that must take nothing from those who are still open.
pub(crate) fn modest() -> Builder {
    Builder::new().retry_config(RetryConfig::disabled())
}

/// A client whose other calls are sent up to five times within 15 s.
pub fn patient(config: Builder) -> Builder {
    // The SDK's own account of retries would be used up by the first few targets, and those after them fail at once.
    let partition = RetryPartition::custom("many").token_bucket(TokenBucket::unlimited()).build();
    config
        .retry_config(again(5, Duration::from_secs(1), Duration::from_secs(8)))
        .retry_partition(partition)
        .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ANSWER).build())
}

fn again(attempts: u32, first: Duration, longest: Duration) -> RetryConfig {
    RetryConfig::standard().with_max_attempts(attempts).with_initial_backoff(first).with_max_backoff(longest)
}
