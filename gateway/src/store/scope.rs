//! What a token allows.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing that a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Work on tickets as its agent.
    Agent,
    /// That, and administration of its tenant.
    Admin,
    /// Read what its agent may read, and change nothing.
    Read,
}

const SCOPES: [Scope; 3] = [Scope::Read, Scope::Agent, Scope::Admin];

impl Scope {
    /// Its name in storage and on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Admin => "admin",
            Self::Read => "read",
        }
    }

    /// The scope called `name`.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        SCOPES.into_iter().find(|scope| scope.name() == name)
    }

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The things that a token allows: at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// Whether this scope is among them.
    #[must_use]
    pub fn has(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    /// Those in a list.
    pub fn list(self) -> impl Iterator<Item = Scope> {
        SCOPES.into_iter().filter(move |scope| self.has(*scope))
    }

    /// The one that allows most.
    #[must_use]
    pub fn widest(self) -> Scope {
        self.list().last().unwrap_or(Scope::Read)
    }

    /// These and one more.
    #[must_use]
    pub fn with(self, scope: Scope) -> Self {
        Self(self.0 | scope.bit())
    }

    /// Those of the names, of which there is at least one.
    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Result<Self, UnknownScope> {
        let mut scopes = Self(0);
        for name in names {
            let scope = Scope::from_name(name);
            scopes = scopes.with(scope.ok_or_else(|| UnknownScope(name.chars().take(40).collect()))?);
        }
        if scopes.0 == 0 { Err(UnknownScope(String::new())) } else { Ok(scopes) }
    }
}

impl From<Scope> for Scopes {
    fn from(scope: Scope) -> Self {
        Self(scope.bit())
    }
}

/// What is no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no scope; expected one or more of read, agent, admin")]
pub struct UnknownScope(String);

impl fmt::Display for Scopes {
    /// As storage has them: with spaces between them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.list().map(Scope::name).collect();
        f.write_str(&names.join(" "))
    }
}

impl FromStr for Scopes {
    type Err = UnknownScope;

    /// As storage has them.
    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::of(text.split(' '))
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.list().map(Scope::name))
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<String>::deserialize(deserializer)?;
        Self::of(names.iter().map(String::as_str)).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_written_as_they_are_read() {
        let scopes: Scopes = "admin read".parse().unwrap();
        assert_eq!(scopes.to_string(), "read admin");
        assert!(scopes.has(Scope::Admin) && !scopes.has(Scope::Agent));
        assert_eq!((scopes.widest(), Scopes::from(Scope::Read).widest()), (Scope::Admin, Scope::Read));
        assert_eq!(serde_json::to_string(&scopes).unwrap(), r#"["read","admin"]"#);
        assert_eq!(serde_json::from_str::<Scopes>(r#"["read","admin"]"#).unwrap(), scopes);
        for text in ["", "root", "read  admin", "Read"] {
            assert!(text.parse::<Scopes>().is_err(), "{text}");
        }
        let error = serde_json::from_str::<Scopes>("[]").unwrap_err().to_string();
        assert!(error.contains("expected one or more of read, agent, admin"), "{error}");
    }
}
