//! Signatures: KMS, ECDSA P-256 over the SHA-256 of a manifest's bytes, DER, checkable with `openssl dgst` [facts 75].

use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::{MessageType, SigningAlgorithmSpec};
use handler::{CaseFile, failed};
use incident::manifest::Signing;
use sha2::{Digest, Sha256};

use crate::{Clients, Error};

/// Signs `manifest` and keeps the signature under `name`, unless there is one already.
///
/// An ECDSA signature is another one each time, so a signature that is there stays, whichever attempt made it.
pub(crate) async fn sign(clients: &Clients, file: &CaseFile, name: &str, manifest: &[u8]) -> Result<(), Error> {
    if file.get(name).await?.is_some() {
        return Ok(());
    }
    let sign = clients
        .kms
        .sign()
        .key_id(&clients.settings.signing_key)
        .message(Blob::new(Sha256::digest(manifest).to_vec()))
        .message_type(MessageType::Digest)
        .signing_algorithm(SigningAlgorithmSpec::EcdsaSha256);
    let signature = sign.send().await.map_err(failed("kms:Sign"))?.signature.map(Blob::into_inner).unwrap_or_default();
    file.put(name, signature).await?;
    Ok(())
}

/// How this function signs, as manifests say it.
pub(crate) fn signing(clients: &Clients) -> Signing {
    Signing { key: clients.settings.signing_key.clone(), algorithm: "ECDSA_SHA_256".to_owned() }
}
