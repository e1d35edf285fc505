//! A fault at one call, and everything that was heard of the account meanwhile.

use std::sync::{Arc, Mutex};

use incident::record::Change;
use stub::{Answer, Call};

use super::account::{ACTIONS, Account};
use super::support::{World, refused, throttled};

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallFault {
    /// This one is not allowed: something about its resource.
    Refused,
    /// It is not allowed from then on: the role has lost the permission.
    Denied,
    /// In passing, before its effect.
    Throttled,
    /// Every attempt, from then on.
    Exhausted,
    /// It has its effect, and its answer is lost.
    Lost,
    /// What it is about is gone from then on.
    Gone,
}

impl CallFault {
    pub(crate) const ALL: [Self; 6] = [Self::Refused, Self::Denied, Self::Throttled, Self::Exhausted, Self::Lost, Self::Gone];

    /// Whether it can come over a call of this action. The lost answer of a call that only reads is a throttled one.
    pub(crate) fn befalls(self, action: &str) -> bool {
        let reads = [":Describe", ":Get", ":List"].iter().any(|verb| action.contains(verb));
        self != Self::Lost || !reads
    }

    /// Whether the step rides it out.
    pub(crate) const fn passes(self) -> bool {
        matches!(self, Self::Throttled | Self::Lost)
    }

    const fn lasts(self) -> bool {
        matches!(self, Self::Denied | Self::Exhausted)
    }
}

/// A call that fails: the `nth` of its action, counted from 0.
#[derive(Debug, Clone)]
pub(crate) struct Disturbance {
    pub(crate) action: String,
    pub(crate) nth: usize,
    pub(crate) fault: CallFault,
}

/// A call that was made.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    pub(crate) call: Call,
    pub(crate) fault: Option<CallFault>,
    /// What it changes in the account, with the value from before it; `None` for what only reads, and for the bucket.
    pub(crate) change: Option<Change>,
    /// It came to its effect, if it has one: AWS may refuse a call of itself.
    pub(crate) has_effect: bool,
}

impl Heard {
    /// The step got AWS's true answer. That something of the account is gone is one.
    pub(crate) fn is_answered(&self) -> bool {
        let of_account = ["s3:", "kms:"].iter().all(|service| !self.call.action.starts_with(service));
        self.fault.is_none() || (self.fault == Some(CallFault::Gone) && of_account)
    }
}

/// What was heard, in order.
pub(crate) type Ear = Arc<Mutex<Vec<Heard>>>;

impl World {
    /// From now on every call is heard, and this one fails.
    pub(crate) fn disturb(&self, disturbance: Option<&Disturbance>, ear: &Ear) {
        let made = Arc::new(Mutex::new(0));
        for action in ACTIONS {
            let (account, ear, made) = (Arc::clone(&self.account), Arc::clone(ear), Arc::clone(&made));
            let disturbance = disturbance.filter(|it| it.action == action).cloned();
            self.aws.set_fn(action, move |call| {
                let mut account = account.lock().unwrap();
                let strikes = disturbance.as_ref().filter(|it| {
                    let mut made = made.lock().unwrap();
                    let n = *made;
                    *made += 1;
                    n == it.nth || (n > it.nth && it.fault.lasts())
                });
                let changes = call.is_mutation() && !call.action.starts_with("s3:") && !call.action.starts_with("kms:");
                let change = changes.then(|| account.change(call));
                let before = change.is_some().then(|| account.clone());
                let answer = match strikes {
                    Some(strikes) => fail(strikes.fault, call, &mut account),
                    None => account.answer(call),
                };
                let fault = strikes.map(|it| it.fault);
                let passed = fault.is_none_or(|fault| fault == CallFault::Lost);
                let again = change.as_ref().is_some_and(|change| change.from == change.to);
                let has_effect = passed && (again || before.is_none_or(|before| before != *account));
                ear.lock().unwrap().push(Heard { call: call.clone(), fault, change, has_effect });
                answer
            });
        }
    }
}

fn fail(fault: CallFault, call: &Call, account: &mut Account) -> Answer {
    let action = call.action.as_str();
    let bucket = action.starts_with("s3:");
    match fault {
        CallFault::Refused | CallFault::Denied if action.starts_with("ec2:") => refused(action, 403, "UnauthorizedOperation"),
        CallFault::Refused | CallFault::Denied => refused(action, 403, "AccessDenied"),
        CallFault::Throttled | CallFault::Exhausted if action.starts_with("ec2:") => refused(action, 503, "RequestLimitExceeded"),
        CallFault::Throttled | CallFault::Exhausted if bucket => refused(action, 503, "SlowDown"),
        CallFault::Throttled | CallFault::Exhausted => throttled(action),
        CallFault::Lost if bucket => Answer::bucket_then_lost(),
        CallFault::Lost => {
            account.answer(call);
            Answer::lost()
        }
        CallFault::Gone if account.vanish(call) => account.answer(call),
        CallFault::Gone => refused(action, if action.starts_with("ec2:") { 400 } else { 404 }, missing(action)),
    }
}

/// The code of what is not there.
fn missing(action: &str) -> &'static str {
    match action {
        "s3:GetObject" => "NoSuchKey",
        "s3:PutObject" | "s3:ListObjectVersions" => "NoSuchBucket",
        "ec2:DescribeInstanceAttribute" => "InvalidInstanceID.NotFound",
        "states:DescribeExecution" => "ExecutionDoesNotExist",
        _ => "NotFoundException",
    }
}
