//! What a sync asks of a primary: sync-2 between our own nodes, the reference's wire towards others.

use reqwest::Method;

use super::{Client, ClientError, Lines};
use crate::wire::Id;
use crate::wire::activity::Activity;
use crate::wire::grain::Grain;
use crate::wire::slice::MetadataPair;
use crate::wire::subscription::Subscription;
use crate::wire::sync::{FeedQuery, WantedGrains};

impl Client {
    /// The caller's company's subscriptions with their slices.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn subscriptions(&self) -> Result<Vec<Subscription>, ClientError> {
        Ok(self.get::<Option<Vec<Subscription>>>("/v1/sync/subs").await?.unwrap_or_default())
    }

    /// sync-2: a slice version, or the way to it from `have`. The first line is a
    /// [`FeedHeader`](crate::wire::sync::FeedHeader), the others are [`FeedLine`](crate::wire::sync::FeedLine)s.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn feed(&self, slice_id: Id, have: &FeedQuery) -> Result<Lines, ClientError> {
        let request = self.request(Method::GET, &format!("/v1/sync/slices/{slice_id}/feed")).query(have);
        Ok(Lines::new(self.clone(), self.send(request).await?))
    }

    /// sync-2: some grains of a version.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn wanted(&self, slice_id: Id, wanted: &WantedGrains) -> Result<Lines, ClientError> {
        let request = self.request(Method::POST, &format!("/v1/sync/slices/{slice_id}/grains")).json(wanted);
        Ok(Lines::new(self.clone(), self.send(request).await?))
    }

    /// The reference's wire: all grains of a slice, meant to be ids only (the reference sends payloads too).
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn brief_grains(&self, slice_id: Id) -> Result<Vec<Grain>, ClientError> {
        let path = format!("/v1/sync/slice/{slice_id}?brief=yes");
        Ok(self.get::<Option<Vec<Grain>>>(&path).await?.unwrap_or_default())
    }

    /// The reference's wire: one grain with its payload.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn grain(&self, id: Id) -> Result<Grain, ClientError> {
        self.get(&format!("/v1/grains/{id}")).await
    }

    /// The reference's wire: a slice's metadata.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn metadata(&self, slice_id: Id) -> Result<Vec<MetadataPair>, ClientError> {
        let path = format!("/v1/slices/metadata/{slice_id}");
        Ok(self.get::<Option<Vec<MetadataPair>>>(&path).await?.unwrap_or_default())
    }

    /// Tells the primary how it went.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn report(&self, activity: &Activity) -> Result<(), ClientError> {
        self.send(self.request(Method::POST, "/v1/activity").json(activity)).await.map(|_answer| ())
    }
}
