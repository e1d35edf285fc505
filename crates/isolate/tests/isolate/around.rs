//! What the cut does not reach is looked for once it is made, named where it is found, and never silently absent.

use incident::evidence::{Containment, ContainmentStatus, InterfaceStatus};
use incident::risk::{Risk, RiskKind};
use stub::Answer;

use crate::support::{Cloud, NIC, NIC2, Nic, VPC, VPC2, WEB, plan};

const MODIFY: &str = "ec2:ModifyNetworkInterfaceAttribute";
const BRANCH: &str = "eni-0aaaaaaaaaaaaaaab";

/// A route table of the VPC, with its association and its routes.
fn table(id: &str, vpc: &str, association: &str, routes: &[&str]) -> String {
    let routes: String = routes.iter().map(|route| format!("<item>{route}</item>")).collect();
    format!(
        "<item><routeTableId>{id}</routeTableId><vpcId>{vpc}</vpcId><associationSet><item>{association}</item></associationSet>\
         <routeSet>{routes}</routeSet></item>"
    )
}

fn of_subnet(vpc: &str) -> String {
    format!("<subnetId>{}</subnetId>", vpc.replace("vpc", "subnet"))
}

const MAIN: &str = "<main>true</main>";

fn endpoint(id: &str, kind: &str, state: &str, vpc: &str) -> String {
    format!(
        "<item><vpcEndpointId>{id}</vpcEndpointId><vpcEndpointType>{kind}</vpcEndpointType><vpcId>{vpc}</vpcId>\
         <serviceName>com.amazonaws.eu-west-1.{id}</serviceName><state>{state}</state></item>"
    )
}

fn found(contained: &Containment, kind: RiskKind) -> Vec<&Risk> {
    contained.risks.iter().filter(|risk| risk.kind == kind).collect()
}

fn subjects(contained: &Containment, kind: RiskKind) -> Vec<&str> {
    found(contained, kind).into_iter().map(|risk| risk.subject.as_str()).collect()
}

#[tokio::test]
async fn each_way_on_which_flows_stay_tracked_is_named_with_what_leads_there() {
    let cases = [
        (RiskKind::NatGateway, "nat-0a", "<natGatewayId>nat-0a</natGatewayId>"),
        (RiskKind::TransitGateway, "tgw-0a", "<transitGatewayId>tgw-0a</transitGatewayId>"),
        (RiskKind::EgressOnlyGateway, "eigw-0a", "<egressOnlyInternetGatewayId>eigw-0a</egressOnlyInternetGatewayId>"),
        (RiskKind::FirewallEndpoint, "vpce-0f", "<gatewayId>vpce-0f</gatewayId>"),
    ];
    for (kind, id, route) in cases {
        let cloud = Cloud::simple().with_pair();
        {
            let mut account = cloud.account();
            account.tables = vec![
                table("rtb-main", VPC, MAIN, &["<natGatewayId>nat-other</natGatewayId>"]),
                table("rtb-own", VPC, &of_subnet(VPC), &["<gatewayId>local</gatewayId>", "<gatewayId>igw-0a</gatewayId>", route]),
            ];
            account.endpoints = vec![endpoint("vpce-0f", "GatewayLoadBalancer", "available", VPC)];
        }
        let contained = cloud.contain(0).await.unwrap();
        assert_eq!(contained.status, ContainmentStatus::Contained);
        assert_eq!(subjects(&contained, kind), [id], "{kind:?}: {:?}", contained.risks);
        let advice = &found(&contained, kind)[0].advice;
        assert!(advice.contains(NIC) && advice.contains("rtb-own") && !advice.contains("rtb-main"), "{advice}");
        assert_eq!(subjects(&contained, RiskKind::WaysNotRead), [""; 0], "{kind:?}");
        assert_eq!(subjects(&contained, RiskKind::AutomaticallyTrackedFlows), [""], "what nobody looks for is said as well");
    }
}

#[tokio::test]
async fn the_main_table_counts_where_a_subnet_has_none_and_what_leads_nowhere_is_no_way() {
    let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC2, &[WEB])]).with_pair();
    {
        let mut account = cloud.account();
        account.tables = vec![
            table("rtb-1", VPC, MAIN, &["<natGatewayId>nat-1</natGatewayId>"]),
            table(
                "rtb-2",
                VPC2,
                MAIN,
                &[
                    "<natGatewayId>nat-2</natGatewayId><state>blackhole</state>",
                    "<gatewayId>vpce-s3</gatewayId><destinationPrefixListId>pl-1</destinationPrefixListId>",
                    "<gatewayId>igw-1</gatewayId>",
                    "<vpcPeeringConnectionId>pcx-1</vpcPeeringConnectionId>",
                ],
            ),
        ];
        account.endpoints = vec![endpoint("vpce-s3", "Gateway", "available", VPC2)];
    }
    let contained = cloud.run("contain", 0, &plan(&[(NIC, VPC, &[WEB]), (NIC2, VPC2, &[WEB])])).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
    assert_eq!(subjects(&contained, RiskKind::NatGateway), ["nat-1"]);
    for kind in [RiskKind::FirewallEndpoint, RiskKind::InterfaceEndpoint, RiskKind::WaysNotRead] {
        assert_eq!(subjects(&contained, kind), [""; 0], "{kind:?}");
    }
}

#[tokio::test]
async fn interface_endpoints_of_the_targets_vpcs_are_named_and_many_are_counted() {
    let cloud = Cloud::simple().with_pair();
    {
        let mut account = cloud.account();
        account.tables = vec![table("rtb-1", VPC, MAIN, &["<natGatewayId>nat-1</natGatewayId>"])];
        account.endpoints = vec![
            endpoint("vpce-1", "Interface", "available", VPC),
            endpoint("vpce-2", "Interface", "deleted", VPC),
            endpoint("vpce-3", "Interface", "available", VPC2),
            endpoint("vpce-4", "Gateway", "available", VPC),
            endpoint("vpce-5", "ServiceNetwork", "available", VPC),
        ];
    }
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!(subjects(&contained, RiskKind::InterfaceEndpoint), ["vpce-1", "vpce-5"]);

    cloud.account().endpoints = (0..60).map(|n| endpoint(&format!("vpce-{n:03}"), "Interface", "available", VPC)).collect();
    let contained = cloud.contain(1).await.unwrap();
    assert_eq!(subjects(&contained, RiskKind::InterfaceEndpoint).len(), 19);
    assert_eq!(subjects(&contained, RiskKind::NatGateway), ["nat-1"], "routes come first");
    let rest = found(&contained, RiskKind::AutomaticallyTrackedFlows);
    assert!(rest[0].advice.starts_with("41 more ways"), "{}", rest[0].advice);
}

#[tokio::test]
async fn a_look_that_fails_costs_no_containment_and_is_a_risk_of_its_own() {
    let looks = [("ec2:DescribeRouteTables", "routes"), ("ec2:DescribeVpcEndpoints", "endpoints")];
    for (action, subject) in looks {
        for (status, code) in [(403, "UnauthorizedOperation"), (503, "RequestLimitExceeded"), (400, "InvalidParameterValue")] {
            let cloud = Cloud::simple().with_pair();
            cloud.aws.set(action, Answer::ec2_error(status, code, "refused by the test"));
            let contained = cloud.contain(0).await.unwrap();
            assert_eq!(contained.status, ContainmentStatus::Contained, "{action} {code}");
            assert!(contained.reasons.is_empty(), "{action} {code}: {:?}", contained.reasons);
            assert_eq!(subjects(&contained, RiskKind::WaysNotRead), [subject], "{action} {code}");
            assert!(found(&contained, RiskKind::WaysNotRead)[0].advice.contains(action), "it says what was refused");
        }
    }
    let cloud = Cloud::simple().with_pair();
    cloud.account().tables.clear();
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!(subjects(&contained, RiskKind::WaysNotRead), [NIC], "an interface whose table nobody shows");
}

#[tokio::test]
async fn nothing_that_is_cut_waits_for_the_look_and_closing_the_door_looks_too() {
    let cloud = Cloud::simple().with_pair();
    cloud.account().tables = vec![table("rtb-1", VPC, MAIN, &["<natGatewayId>nat-1</natGatewayId>"])];
    cloud.contain(0).await.unwrap();
    let actions = cloud.aws.actions();
    let last_cut = actions.iter().enumerate().filter(|(_, action)| *action == MODIFY).map(|(n, _)| n).nth(1).unwrap();
    for look in ["ec2:DescribeRouteTables", "ec2:DescribeVpcEndpoints"] {
        let first = actions.iter().position(|action| action == look).unwrap();
        assert!(first > last_cut, "{look} comes after the cut: {actions:?}");
    }

    let cloud = Cloud::simple().with_pair();
    cloud.account().tables = vec![table("rtb-1", VPC, MAIN, &["<natGatewayId>nat-1</natGatewayId>"])];
    let closed = cloud.close_door(0).await.unwrap();
    assert_eq!(subjects(&closed, RiskKind::NatGateway), ["nat-1"]);

    cloud.aws.set("ec2:DescribeNetworkInterfaces", Answer::ec2_error(403, "UnauthorizedOperation", "no"));
    let blind = cloud.close_door(0).await.unwrap();
    assert_eq!(blind.status, ContainmentStatus::Unknown);
    assert_eq!(subjects(&blind, RiskKind::WaysNotRead), [""], "{:?}", blind.risks);
}

#[tokio::test]
async fn a_look_that_gets_no_answer_is_a_risk_too() {
    let cloud = Cloud::simple().with_pair();
    cloud.aws.set("ec2:DescribeVpcEndpoints", Answer::timeout());
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained);
    assert_eq!(subjects(&contained, RiskKind::WaysNotRead), ["endpoints"]);
}

#[tokio::test]
async fn what_others_keep_is_recorded_as_what_it_is_and_never_touched() {
    let cloud = Cloud::new(&[(NIC, VPC, &[WEB]), (NIC2, VPC, &[WEB]), (BRANCH, VPC, &["sg-0bbbbbbbbbbbbbbbb"])]).with_pair();
    {
        let mut account = cloud.account();
        account.nics.get_mut(NIC2).unwrap().operator = "eks.amazonaws.com".to_owned();
        account.nics.get_mut(BRANCH).unwrap().branch_of = Some(NIC.to_owned());
    }
    // Triage does not see branches: they are attached to no instance.
    let plan = plan(&[(NIC, VPC, &[WEB]), (NIC2, VPC, &[WEB])]);
    for mode in ["contain", "close-door"] {
        let contained = cloud.run(mode, 0, &plan).await.unwrap();
        assert_eq!(contained.status, ContainmentStatus::Contained, "{mode}: {contained:?}");
        let outcome = |id: &str| contained.interfaces.iter().find(|nic| nic.id.as_str() == id).unwrap();
        assert_eq!(outcome(NIC).status, InterfaceStatus::Cut);
        for (id, said) in [(NIC2, "operated by an AWS service (`eks.amazonaws.com`)"), (BRANCH, "a branch of a trunk (`eni-")] {
            let outcome = outcome(id);
            assert_eq!(outcome.status, InterfaceStatus::Open, "{id}");
            assert!(outcome.reason.contains(said), "{}", outcome.reason);
            assert_eq!(outcome.groups_before, outcome.groups_now, "{id}");
        }
        let mut kept = subjects(&contained, RiskKind::UnmanagedInterface);
        kept.sort_unstable();
        assert_eq!(kept, [NIC2, BRANCH]);
    }
    let locked = cloud.lock_down(0, &plan).await.unwrap();
    assert!(locked.interfaces.iter().any(|nic| nic.id.as_str() == BRANCH && nic.status == InterfaceStatus::Open), "{locked:?}");
    assert_eq!(locked.status, incident::evidence::LockdownStatus::LockedDown);

    cloud.aws.set("ec2:DescribeTrunkInterfaceAssociations", Answer::ec2_error(403, "UnauthorizedOperation", "no"));
    let contained = cloud.run("contain", 1, &plan).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
    let told = found(&contained, RiskKind::WaysNotRead);
    assert!(told.iter().any(|risk| risk.subject == NIC && risk.advice.contains("trunk")), "{told:?}");
}

#[tokio::test]
async fn of_very_many_branches_the_first_are_recorded_and_the_rest_is_counted() {
    let cloud = Cloud::simple().with_pair();
    let branch = Nic { vpc: VPC.to_owned(), groups: vec![WEB.to_owned()], branch_of: Some(NIC.to_owned()), ..Nic::default() };
    cloud.account().nics.extend((0..110).map(|n| (format!("eni-0bbbbbbbbbbbbb{n:03}"), branch.clone())));
    let contained = cloud.contain(0).await.unwrap();
    assert_eq!(contained.status, ContainmentStatus::Contained, "{contained:?}");
    assert_eq!(contained.interfaces.len(), 1 + 40);
    assert!(
        found(&contained, RiskKind::WaysNotRead).iter().any(|risk| risk.subject == NIC && risk.advice.starts_with("70 more"))
    );
    let size = serde_json::to_vec(&contained).unwrap().len();
    assert!(size < 50_000, "{size} bytes of a payload that must hold the rest of the case too");
}

#[tokio::test]
async fn where_nothing_is_a_trunk_nobody_asks_for_branches() {
    let cloud = Cloud::simple().with_pair();
    cloud.contain(0).await.unwrap();
    assert_eq!(cloud.aws.count("ec2:DescribeTrunkInterfaceAssociations"), 0);
}
