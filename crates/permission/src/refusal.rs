//! Why an answer does not count: what was found, and what to do.

use incident::permission::NotAPerson;

use crate::proof::ProofError;

/// Why an answer does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The case asks nobody.
    #[error("the case {0} does not ask, or does not any more: see `cordon show {0}`")]
    NotAsking(String),
    /// It is about another manifest than the one that is asked about.
    #[error("it is about another evidence manifest than the case's: look at the case again, and answer about what is there")]
    OtherManifest,
    /// The proof proves nothing.
    #[error("its proof does not hold, {0}; answer again with `cordon approve` or `cordon deny`")]
    Proof(#[from] ProofError),
    /// STS does not know who signed.
    #[error("STS says that nobody signed this ({0}): it is forged, expired, or was signed for something else; answer again")]
    NotSigned(String),
    /// Whoever signed is of another account.
    #[error("{0} is not of the target's account: somebody of that account must answer")]
    OtherAccount(String),
    /// Whoever signed is no person.
    #[error("{arn} counts as nobody: {why}")]
    NotAPerson {
        /// The ARN that STS gave.
        arn: String,
        /// Why.
        why: NotAPerson,
    },
    /// Whoever signed is one of Cordon's own roles.
    #[error("{0} is a role of Cordon's own, which decides nothing here")]
    OwnRole(String),
    /// An item is missing and not waived.
    #[error("missing from the evidence and not waived by name: {0}; get them, or waive each with --waive and say why")]
    NotWaived(String),
    /// An item is waived that is not missing.
    #[error("`{0}` is waived and not missing: waive what is missing, by its name in the manifest")]
    NotMissing(String),
    /// The person has answered otherwise already.
    #[error("{0} has answered this case already, in other words, and the first answer stands")]
    AnsweredAlready(String),
    /// The execution waits no more.
    #[error("the answer was written down, but the case does not wait for it any more: see `cordon show {0}`")]
    TooLate(String),
}
