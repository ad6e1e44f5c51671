//! Where a feed that broke off goes on. Marks are ours alone: who asks with one that is made up gets a feed with holes, and
//! notices by its digest.

use std::fmt;
use std::str::FromStr;

use shared::wire::Id;
use shared::wire::sync::FeedMode;

/// What was sent last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// In a full feed, which is in id order: the grain of this id.
    Grain(Id),
    /// In a delta: what was removed in this version, up to this id.
    Removed(i64, Id),
    /// In a delta: what was added in this version, up to this id.
    Added(i64, Id),
}

impl Mark {
    /// Whether it is of such a feed.
    pub fn is_of(self, mode: FeedMode) -> bool {
        match self {
            Self::Grain(_) => mode == FeedMode::Full,
            Self::Removed(..) | Self::Added(..) => mode == FeedMode::Delta,
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grain(id) => write!(f, "grain.{id}"),
            Self::Removed(version, id) => write!(f, "removed.{version}.{id}"),
            Self::Added(version, id) => write!(f, "added.{version}.{id}"),
        }
    }
}

/// A text that is no mark of ours.
#[derive(Debug)]
pub(super) struct NoMark;

impl FromStr for Mark {
    type Err = NoMark;

    fn from_str(text: &str) -> Result<Self, NoMark> {
        let id = |word: &str| word.parse::<Id>().map_err(|_no_id| NoMark);
        let version = |word: &str| word.parse::<i64>().map_err(|_no_number| NoMark);
        match text.split('.').collect::<Vec<_>>().as_slice() {
            ["grain", last] => Ok(Self::Grain(id(last)?)),
            ["removed", number, last] => Ok(Self::Removed(version(number)?, id(last)?)),
            ["added", number, last] => Ok(Self::Added(version(number)?, id(last)?)),
            _ => Err(NoMark),
        }
    }
}
