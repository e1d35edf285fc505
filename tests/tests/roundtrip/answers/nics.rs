//! EC2: network interfaces.

use stub::{Answer, Call};

use super::{done, ec2, filters, items};
use crate::account::{Account, INSTANCE, Keeper, Nic};

impl Account {
    /// An interface as an instance's description has it.
    pub(super) fn instance_nic(&self, id: &str, nic: &Nic) -> String {
        let private = format!("<item><privateIpAddress>{}</privateIpAddress></item>", nic.private);
        format!(
            "{}<privateIpAddress>{}</privateIpAddress><privateIpAddressesSet>{private}</privateIpAddressesSet>\
             <attachment><deviceIndex>{}</deviceIndex></attachment>",
            self.nic(id, nic),
            nic.private,
            nic.index
        )
    }

    /// What both descriptions have.
    fn nic(&self, id: &str, nic: &Nic) -> String {
        let name = |id: &String| self.groups.get(id).map_or("", |group| group.name.as_str());
        let groups = items(nic.groups.iter().map(|id| format!("<groupId>{id}</groupId><groupName>{}</groupName>", name(id))));
        let tracking = nic.tracking.map_or_else(String::new, |[tcp, stream, udp]| {
            format!(
                "<connectionTrackingConfiguration><tcpEstablishedTimeout>{tcp}</tcpEstablishedTimeout>\
                 <udpStreamTimeout>{stream}</udpStreamTimeout><udpTimeout>{udp}</udpTimeout></connectionTrackingConfiguration>"
            )
        });
        let public = nic.public.as_ref().map_or_else(String::new, |(ip, assigned)| {
            let owner = if *assigned { "amazon" } else { "111122223333" };
            format!("<association><publicIp>{ip}</publicIp><ipOwnerId>{owner}</ipOwnerId></association>")
        });
        let v6 = items(nic.v6.iter().map(|address| format!("<ipv6Address>{address}</ipv6Address>")));
        format!(
            "<networkInterfaceId>{id}</networkInterfaceId><vpcId>{}</vpcId><subnetId>subnet-{}</subnetId>\
             <groupSet>{groups}</groupSet><ipv6AddressesSet>{v6}</ipv6AddressesSet>{tracking}{public}",
            nic.vpc, nic.vpc
        )
    }

    pub(super) fn interfaces(&self, call: &Call) -> Answer {
        let filters = filters(call);
        let passes = |id: &str, nic: &Nic| {
            filters.iter().all(|(name, values)| match name.as_str() {
                "attachment.instance-id" => values.iter().any(|it| it == INSTANCE) && !matches!(nic.keeper, Keeper::Trunk(_)),
                "network-interface-id" => values.iter().any(|it| it == id),
                "group-id" => nic.groups.iter().any(|group| values.contains(group)),
                other => panic!("teach the account the filter {other}"),
            })
        };
        let is_trunk = |id: &str| self.nics.values().any(|nic| nic.keeper == Keeper::Trunk(id.to_owned()));
        let described = |(id, nic): (&String, &Nic)| {
            let kind = match nic.keeper {
                Keeper::Trunk(_) => "branch",
                _ if is_trunk(id) => "trunk",
                _ => "interface",
            };
            format!(
                "{}<interfaceType>{kind}</interfaceType><requesterManaged>{}</requesterManaged>\
                 <operator><managed>{}</managed></operator>",
                self.nic(id, nic),
                nic.keeper == Keeper::Requester,
                nic.keeper == Keeper::Operator
            )
        };
        let all = self.nics.iter().filter(|(id, nic)| passes(id, nic)).map(described);
        ec2(call, &format!("<networkInterfaceSet>{}</networkInterfaceSet>", items(all)))
    }

    pub(super) fn branches(&self, call: &Call) -> Answer {
        let all = self.nics.iter().filter_map(|(id, nic)| match &nic.keeper {
            Keeper::Trunk(trunk) => {
                Some(format!("<branchInterfaceId>{id}</branchInterfaceId><trunkInterfaceId>{trunk}</trunkInterfaceId>"))
            }
            _ => None,
        });
        ec2(call, &format!("<interfaceAssociationSet>{}</interfaceAssociationSet>", items(all)))
    }

    pub(super) fn modify_nic(&mut self, call: &Call) -> Answer {
        let id = call.param("NetworkInterfaceId").unwrap();
        let groups: Vec<String> = call.list("SecurityGroupId").into_iter().map(str::to_owned).collect();
        let timeouts = ["TcpEstablishedTimeout", "UdpStreamTimeout", "UdpTimeout"].map(|name| {
            call.param(&format!("ConnectionTrackingSpecification.{name}")).map(|value| value.parse::<i32>().unwrap())
        });
        let vpcs: Vec<Option<&str>> = groups.iter().map(|id| self.groups.get(id).map(|group| group.vpc.as_str())).collect();
        let nic = self.nics.get(id).unwrap();
        assert_eq!(nic.keeper, Keeper::Us, "{id} is not ours to change");
        assert!(vpcs.iter().all(|vpc| *vpc == Some(nic.vpc.as_str())), "a group belongs to the VPC of its interface");
        let nic = self.nics.get_mut(id).unwrap();
        if let [Some(tcp), Some(stream), Some(udp)] = timeouts {
            assert!(groups.is_empty(), "EC2 takes one attribute in a call");
            nic.tracking = Some([tcp, stream, udp]);
        } else {
            assert!(!groups.is_empty(), "an interface has at least one group");
            nic.groups = groups;
        }
        done(call)
    }
}
