use std::{io, net::IpAddr, pin::Pin};

/// How a name becomes addresses.
pub trait Names: Send + Sync {
    fn look_up(&self, host: String) -> LookUp;
}

pub type LookUp = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// By the machine's own means.
pub struct SystemNames;

impl Names for SystemNames {
    fn look_up(&self, host: String) -> LookUp {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((host, 443)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    }
}
