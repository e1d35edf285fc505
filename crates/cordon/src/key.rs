//! The deployment's public key: ECDSA P-256, as KMS gives it and as `openssl` reads it.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use aws_smithy_types::base64;

/// What stands before the point in a P-256 `SubjectPublicKeyInfo` (RFC 5480): two object ids and the lengths.
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07, 0x03, 0x42, 0x00,
];
/// An uncompressed point: 0x04 and two coordinates.
const POINT_BYTES: usize = 65;

/// Why a key is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM.
    #[error("the public key is not PEM (`-----BEGIN PUBLIC KEY-----`)")]
    NotPem,
    /// Another kind of key.
    #[error("the public key is not an ECDSA P-256 key")]
    NotP256,
}

/// A P-256 public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    point: Vec<u8>,
}

impl PublicKey {
    /// Reads PEM.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let body = text.trim().strip_prefix("-----BEGIN PUBLIC KEY-----").ok_or(KeyError::NotPem)?;
        let body = body.strip_suffix("-----END PUBLIC KEY-----").ok_or(KeyError::NotPem)?;
        let body: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        Self::from_der(&base64::decode(body).map_err(|_| KeyError::NotPem)?)
    }

    /// Reads DER (`SubjectPublicKeyInfo`), as KMS's `GetPublicKey` gives it.
    pub fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let point = der.strip_prefix(&P256_SPKI).ok_or(KeyError::NotP256)?;
        if point.len() == POINT_BYTES && point.first() == Some(&4) {
            Ok(Self { point: point.to_vec() })
        } else {
            Err(KeyError::NotP256)
        }
    }

    /// Whether `signature` (DER) is one of this key over the SHA-256 of `bytes`.
    pub fn signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.point).verify(bytes, signature).is_ok()
    }
}
