//! Protobuf's JSON form of messages. Their bytes pass through the generated type, which prost can't print as JSON.

use std::error::Error;

use celeste_image::v1;
use prost::{Message, Name};
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor};
use prost_types::Any;
use serde_json::{Value, json};
use tonic_types::pb;

const CONTRACT: &[u8] = include_bytes!("../../../../server/celeste_image/rpc/contract.binpb");

/// Converts messages of the contract and of `google.rpc`.
pub struct Json {
    pool: DescriptorPool,
}

impl Json {
    pub fn new() -> Result<Self, Box<dyn Error>> {
        let pool = DescriptorPool::decode(CONTRACT)?;
        Ok(Self { pool })
    }

    /// Returns the names of all calls.
    #[cfg(test)]
    pub fn calls(&self) -> Vec<String> {
        let services = self.pool.services();
        let ours = services.filter(|service| service.package_name() == "celeste.image.v1");
        ours.flat_map(|service| {
            service
                .methods()
                .map(|method| format!("{}/{}", service.name(), method.name()))
                .collect::<Vec<_>>()
        })
        .collect()
    }

    /// Reads a message of a generated type.
    pub fn read<M: Message + Name + Default>(&self, value: &Value) -> Result<M, Box<dyn Error>> {
        let message = DynamicMessage::deserialize(self.descriptor(&M::full_name())?, value)?;
        Ok(M::decode(message.encode_to_vec().as_slice())?)
    }

    /// Writes a message of a generated type.
    pub fn write<M: Message + Name>(&self, message: &M) -> Result<Value, Box<dyn Error>> {
        self.write_as(&M::full_name(), message)
    }

    /// Writes one detail of a status, unpacked into its generated type.
    pub fn write_detail(&self, detail: &Any) -> Result<Value, Box<dyn Error>> {
        let name = detail.type_url.rsplit('/').next().unwrap_or_default();
        let data = detail.value.as_slice();
        let mut value = match name {
            "celeste.image.v1.FailureInfo" => self.write(&detail.to_msg::<v1::FailureInfo>()?),
            "google.rpc.BadRequest" => self.write_as(name, &pb::BadRequest::decode(data)?),
            "google.rpc.DebugInfo" => self.write_as(name, &pb::DebugInfo::decode(data)?),
            "google.rpc.ErrorInfo" => self.write_as(name, &pb::ErrorInfo::decode(data)?),
            "google.rpc.Help" => self.write_as(name, &pb::Help::decode(data)?),
            "google.rpc.LocalizedMessage" => {
                self.write_as(name, &pb::LocalizedMessage::decode(data)?)
            }
            "google.rpc.PreconditionFailure" => {
                self.write_as(name, &pb::PreconditionFailure::decode(data)?)
            }
            "google.rpc.QuotaFailure" => self.write_as(name, &pb::QuotaFailure::decode(data)?),
            "google.rpc.RequestInfo" => self.write_as(name, &pb::RequestInfo::decode(data)?),
            "google.rpc.ResourceInfo" => self.write_as(name, &pb::ResourceInfo::decode(data)?),
            "google.rpc.RetryInfo" => self.write_as(name, &pb::RetryInfo::decode(data)?),
            _ => Ok(json!({"unknown": true})),
        }?;
        value["@type"] = name.into();
        Ok(value)
    }

    fn write_as(&self, name: &str, message: &impl Message) -> Result<Value, Box<dyn Error>> {
        let data = message.encode_to_vec();
        let message = DynamicMessage::decode(self.descriptor(name)?, data.as_slice())?;
        Ok(serde_json::to_value(message)?)
    }

    fn descriptor(&self, name: &str) -> Result<MessageDescriptor, Box<dyn Error>> {
        let found = self.pool.get_message_by_name(name);
        found.ok_or_else(|| format!("the contract has no message {name}").into())
    }
}
