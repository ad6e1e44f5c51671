//! Telling a program of the operator's over HTTP that something happened.

use std::time::Duration;

use bytes::Bytes;
use reqwest::Url;
use reqwest::header::CONTENT_TYPE;

use super::{Client, ClientError, Http, parse};

/// A receiver that has not answered by then counts as gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where messages go. Its `Debug` and messages leave out the query, which may hold a credential.
#[derive(Clone)]
pub struct HookUrl(Url);

impl HookUrl {
    /// `https`, or `http` to this machine.
    ///
    /// # Errors
    /// [`ClientError::Url`], [`ClientError::PlainHttp`].
    pub fn new(text: &str) -> Result<Self, ClientError> {
        match parse(text, false) {
            Ok(url) => Ok(Self(url)),
            // The text may hold a credential, and the usual sentence names a setting that is not about this.
            Err(ClientError::PlainHttp(_)) => {
                Err(ClientError::Url("is plain HTTP to another machine: use https".to_owned()))
            }
            Err(_no_url) => Err(ClientError::Url("is no URL: write it as https://host/path".to_owned())),
        }
    }

    fn shown(&self) -> Url {
        let mut url = self.0.clone();
        url.set_query(None);
        url.set_fragment(None);
        url
    }
}

impl std::fmt::Debug for HookUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.shown().as_str())
    }
}

impl Http {
    /// Posts a JSON text under its signature; the answer does not matter if it is a success. Redirects are none.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Refused`].
    pub async fn post_signed(&self, url: &HookUrl, body: Bytes, signature: &str) -> Result<(), ClientError> {
        let client = Client { http: self.0.clone(), base: url.shown(), token: None };
        let request = self
            .0
            .post(url.0.clone())
            .timeout(PATIENCE)
            .header(CONTENT_TYPE, "application/json")
            .header("sandpiper-signature", signature)
            .body(body);
        client.send(request).await.map(|_answer| ())
    }
}
