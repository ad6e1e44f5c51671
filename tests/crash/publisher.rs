//! The publisher: edits and publishes over HTTP, and knows what was acknowledged.

use rand::RngExt as _;
use rand::seq::IteratorRandom as _;
use reqwest::Method;
use shared::clock::Random;
use shared::store::Store;
use shared::wire::Id;

use crate::content::{Content, Grain, History};
use crate::observe;
use crate::seed::Draw;
use crate::session::Session;

/// One edit.
#[derive(Clone, Debug)]
pub enum Edit {
    /// A grain takes the place of the one with its key, if there is one.
    Put(Id, Grain),
    Delete(Id),
    Publish,
}

/// What the primary must hold of a slice.
#[derive(Clone, PartialEq, Eq, Debug)]
struct State {
    version: i64,
    published: Content,
    draft: Content,
}

impl State {
    fn after(&self, edit: &Edit) -> Self {
        let mut state = self.clone();
        match edit {
            Edit::Put(id, grain) => {
                state.draft.grains.retain(|_id, old| old.key != grain.key);
                state.draft.grains.insert(*id, grain.clone());
            }
            Edit::Delete(id) => drop(state.draft.grains.remove(id)),
            Edit::Publish if state.version > 0 && state.draft == state.published => {}
            Edit::Publish => {
                state.version += 1;
                state.published = state.draft.clone();
            }
        }
        state
    }
}

/// A slice as its publisher knows it.
pub struct Slice {
    pub id: Id,
    state: State,
    /// An edit that was cut off: done or not, but not half.
    open: Option<Edit>,
}

impl Slice {
    /// Just made, with metadata in its draft.
    pub fn new(id: Id, metadata: &[(&str, &str)]) -> Self {
        let pairs = metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let draft = Content { metadata: pairs.collect(), ..Content::default() };
        Self { id, state: State { version: 0, published: Content::default(), draft }, open: None }
    }

    /// What readers are to see.
    pub fn published(&self) -> &Content {
        &self.state.published
    }

    /// Something to do that keeps the slice at about `size` grains. Ids are not drawn: a round that is repeated needs
    /// new ones.
    pub fn draw_edit(&self, draw: &mut Draw, size: usize) -> Edit {
        let grains = &self.state.draft.grains;
        let (sparse, crowded) = (grains.len() < size, grains.len() > size + size / 4);
        let id = Random::System.id();
        match (draw.random_range(0..4), grains.iter().choose(draw)) {
            (_, Some((id, _grain))) if crowded => Edit::Delete(*id),
            (0, Some((id, _grain))) if !sparse => Edit::Delete(*id),
            (1 | 2, Some((_id, old))) => Edit::Put(id, Grain::draw(draw, old.key.clone())),
            _ => {
                let key = format!("part-{:012x}", draw.random::<u64>() >> 16);
                Edit::Put(id, Grain::draw(draw, key))
            }
        }
    }

    /// One grain goes, another comes.
    pub fn draw_swap(&self, draw: &mut Draw) -> [Edit; 2] {
        let gone = *self.state.draft.grains.keys().choose(draw).expect("a grain");
        let key = format!("part-{:012x}", draw.random::<u64>() >> 16);
        [Edit::Delete(gone), Edit::Put(Random::System.id(), Grain::draw(draw, key))]
    }

    /// The way back to an earlier content, grain by grain.
    pub fn edits_back_to(&self, old: &Content) -> Vec<Edit> {
        let grains = &self.state.draft.grains;
        let gone = grains.keys().filter(|id| !old.grains.contains_key(id)).map(|id| Edit::Delete(*id));
        let back = old.grains.iter().filter(|(id, _grain)| !grains.contains_key(id));
        gone.chain(back.map(|(id, grain)| Edit::Put(*id, grain.clone()))).collect()
    }

    /// Does it; `false` when it was cut off.
    pub async fn edit(&mut self, admin: &Session, history: &History, edit: Edit) -> bool {
        assert!(self.open.is_none(), "settle first");
        let after = self.state.after(&edit);
        let done = match &edit {
            Edit::Put(id, grain) => {
                admin.done(Method::POST, "/v1/grains?replace=yes", Some(&grain.to_body(self.id, *id))).await
            }
            Edit::Delete(id) => admin.done(Method::DELETE, &format!("/v1/grains/{id}"), None).await,
            Edit::Publish => {
                history.add(self.id, after.version, &after.published);
                admin.done(Method::POST, &format!("/v1/slices/refresh/{}", self.id), None).await
            }
        };
        if done.is_some() {
            self.state = after;
        } else {
            self.open = Some(edit);
        }
        done.is_some()
    }

    /// What was acknowledged is there; what was cut off is there whole, or not at all.
    pub async fn settle(&mut self, primary: &Store, history: &History) {
        let shown = observe::shown(primary, self.id).await.expect("the slice");
        let draft = observe::draft(primary, self.id).await;
        let found = State { version: shown.row.version, published: shown.content, draft };
        let before = self.state.clone();
        match self.open.take() {
            Some(edit) if found == before.after(&edit) => self.state = found,
            Some(Edit::Publish) if found == before => history.forget(self.id, found.version + 1),
            open => assert_eq!(found, before, "acknowledged, and then {open:?} was cut off"),
        }
    }
}
