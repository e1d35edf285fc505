//! How to deny, as the template's parameters say.

use handler::{Fatal, env};

use crate::decide::Role;

/// What the template sets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The ARN of the policy that only denies.
    pub policy: String,
    /// What the names of Cordon's own roles begin with.
    pub own_prefix: String,
    /// How to deny.
    pub means: Means,
}

/// How to deny. Inline policies are for those who ask for them, and only on roles below a path: to write one is to be able
/// to grant anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Means {
    /// The policy that only denies, aimed by tags on the role.
    Tags,
    /// An inline policy for this target alone, on roles below `path`; tags elsewhere.
    Inline {
        /// Begins and ends with a slash.
        path: String,
    },
    /// An inline policy for every session that the role has so far, those of other instances too, on roles below `path`;
    /// tags elsewhere.
    AllSessions {
        /// Begins and ends with a slash.
        path: String,
    },
}

impl Settings {
    /// The settings that the environment holds.
    pub fn from_env() -> Result<Self, Fatal> {
        let path = || env::required("INLINE_PATH");
        let means = match env::optional("DENIAL").as_deref() {
            None | Some("tags") => Means::Tags,
            Some("inline") => Means::Inline { path: path()? },
            Some("all-sessions") => Means::AllSessions { path: path()? },
            Some(other) => return Err(format!("DENIAL is `{other}`: set it to `tags`, `inline` or `all-sessions`").into()),
        };
        Ok(Self { policy: env::required("DENY_POLICY_ARN")?, own_prefix: env::required("OWN_ROLE_PREFIX")?, means })
    }
}

impl Means {
    /// The means for this role: inline policies are for roles below the path, and the others are denied by tags.
    #[must_use]
    pub fn for_role(&self, role: &Role) -> Self {
        match self {
            Self::Inline { path } | Self::AllSessions { path } if role.path.starts_with(path.as_str()) => self.clone(),
            _ => Self::Tags,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inline_policies_are_for_roles_below_the_path_alone() {
        let role = |path: &str| Role { name: "web".to_owned(), arn: String::new(), path: path.to_owned() };
        for means in [Means::Inline { path: "/may/".to_owned() }, Means::AllSessions { path: "/may/".to_owned() }] {
            for (path, inline) in [("/may/", true), ("/may/deeper/", true), ("/", false), ("/mayor/", false), ("/x/may/", false)]
            {
                assert_eq!(means.for_role(&role(path)) == means, inline, "{path}");
                assert_eq!(means.for_role(&role(path)) == Means::Tags, !inline, "{path}: the others are denied by tags");
            }
        }
        assert_eq!(Means::Tags.for_role(&role("/may/")), Means::Tags);
    }
}
