//! Who does something, for which team, and why.

use std::fmt::Display;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{IdentifierError, check_identifier};

/// Which team a unit of work belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TeamScope {
    /// None was named. Accepted only by an application with a single team.
    #[default]
    Unset,
    /// This team and no other.
    Team(String),
    /// The team that this unit of work creates, whose key the database makes.
    New,
    /// Any: each row's own team. For jobs across teams.
    All,
}

/// Who did it.
///
/// Anything that can be shown makes an actor: a UUID, a number, `"user:42"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<String>,
}

impl<T: Display> From<T> for Actor {
    fn from(id: T) -> Self {
        Self { id: id.to_string(), on_behalf_of: None }
    }
}

impl Actor {
    /// An actor of this identifier.
    pub fn new(id: impl Display) -> Self {
        Self::from(id)
    }

    /// For whom the actor acts: the customer whom a support agent helps, the user who started a job.
    #[must_use]
    pub fn on_behalf_of(mut self, id: impl Display) -> Self {
        self.on_behalf_of = Some(id.to_string());
        self
    }

    /// The actor's identifier, stored as `actor_id`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// For whom the actor acted, if for someone else.
    pub fn principal(&self) -> Option<&str> {
        self.on_behalf_of.as_deref()
    }
}

/// Team, actor, reason, request metadata and correlation of a unit of work.
///
/// A plain value: clone it, send it to another task, serialize it into a job.
///
/// # Examples
/// ```
/// use events_core::{Actor, Context};
///
/// let context = Context::team(7)
///     .actor(Actor::new("support:3").on_behalf_of("user:42"))
///     .reason("refund after complaint 881")
///     .request("ip", "203.0.113.9");
/// assert_eq!(context.actor_id(), Some("support:3"));
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Context {
    team: TeamScope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<Actor>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    correlation: Option<String>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    request: Map<String, Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    home_team: Option<String>,
}

impl Context {
    /// Everything belongs to this team.
    pub fn team(team: impl Display) -> Self {
        Self { team: TeamScope::Team(team.to_string()), ..Self::default() }
    }

    /// The unit of work creates the team itself: its first tracked save must be the insert of a model whose team is
    /// its own key; the key that comes back is the team of everything in the unit. A row that is there already makes no
    /// team: to update, delete or upsert one is refused.
    pub fn new_team() -> Self {
        Self { team: TeamScope::New, ..Self::default() }
    }

    /// A job across teams: every event takes the team of its row. Who and why must be said.
    pub fn all_teams(actor: impl Into<Actor>, reason: impl Into<String>) -> Self {
        Self { team: TeamScope::All, ..Self::default() }.actor(actor).reason(reason)
    }

    /// Who does it.
    #[must_use]
    pub fn actor(mut self, actor: impl Into<Actor>) -> Self {
        self.actor = Some(actor.into());
        self
    }

    /// Why it is done.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// What ties this to other work: a trace, a job, a command.
    #[must_use]
    pub fn correlation(mut self, id: impl Display) -> Self {
        self.correlation = Some(id.to_string());
        self
    }

    /// One fact about the request, such as its address or user agent. Keep it small: it is stored with every event.
    #[must_use]
    pub fn request(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.request.insert(key.into(), value.into());
        self
    }

    /// In a job across teams, the team of what no row gives one: events emitted by hand, and the event of untracked
    /// writes.
    #[must_use]
    pub fn home_team(mut self, team: impl Display) -> Self {
        self.home_team = Some(team.to_string());
        self
    }

    /// The home team, if one was given.
    pub fn stated_home_team(&self) -> Option<&str> {
        self.home_team.as_deref()
    }

    /// Which team this is for.
    pub fn team_scope(&self) -> &TeamScope {
        &self.team
    }

    /// The same context for this team where it names none; used for applications with a single team.
    #[must_use]
    pub fn or_team(mut self, team: &str) -> Self {
        if self.team == TeamScope::Unset {
            self.team = TeamScope::Team(team.to_owned());
        }
        self
    }

    /// The same context, for this team alone: what follows from an event is done for the event's team.
    #[must_use]
    pub fn for_team(mut self, team: impl Display) -> Self {
        self.team = TeamScope::Team(team.to_string());
        self.home_team = None;
        self
    }

    /// The actor's identifier.
    pub fn actor_id(&self) -> Option<&str> {
        self.actor.as_ref().map(Actor::id)
    }

    /// The reason, if one was given.
    pub fn stated_reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// What the `context` column of an event holds: reason, principal, correlation and request, where present.
    pub fn to_json(&self) -> Value {
        let mut json = Map::new();
        let mut text = |key: &str, value: Option<&str>| {
            if let Some(value) = value {
                json.insert(key.to_owned(), Value::from(value));
            }
        };
        text("reason", self.reason.as_deref());
        text("on_behalf_of", self.actor.as_ref().and_then(Actor::principal));
        text("correlation", self.correlation.as_deref());
        if !self.request.is_empty() {
            json.insert("request".to_owned(), Value::Object(self.request.clone()));
        }
        Value::Object(json)
    }

    /// Refuses identifiers that cannot be stored.
    ///
    /// # Errors
    /// [`IdentifierError`] naming the part.
    pub fn check(&self) -> Result<(), IdentifierError> {
        if let TeamScope::Team(team) = &self.team {
            check_identifier("team", team)?;
        }
        if let Some(team) = &self.home_team {
            check_identifier("home team", team)?;
        }
        if let Some(actor) = &self.actor {
            check_identifier("actor", actor.id())?;
            if let Some(principal) = actor.principal() {
                check_identifier("the principal of the actor", principal)?;
            }
        }
        Ok(())
    }
}
