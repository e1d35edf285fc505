//! Auto Scaling and load balancers.

use stub::{Answer, Call};

use super::{about_the_target, members, query};
use crate::account::{Account, INSTANCE, SCALING, TargetGroup};

impl Account {
    pub(super) fn autoscaling(&mut self, call: &Call, operation: &str) -> Answer {
        let scaling = &mut self.scaling;
        match operation {
            "DescribeAutoScalingInstances" => {
                let member = scaling.lifecycle.iter().map(|lifecycle| {
                    format!(
                        "<InstanceId>{INSTANCE}</InstanceId><AutoScalingGroupName>{SCALING}</AutoScalingGroupName>\
                         <LifecycleState>{lifecycle}</LifecycleState><ProtectedFromScaleIn>{}</ProtectedFromScaleIn>",
                        scaling.protected
                    )
                });
                query(call, &format!("<AutoScalingInstances>{}</AutoScalingInstances>", members(member)))
            }
            "DescribeAutoScalingGroups" => {
                let group = format!(
                    "<AutoScalingGroupName>{SCALING}</AutoScalingGroupName><DesiredCapacity>{}</DesiredCapacity><MaxSize>{}</MaxSize>",
                    scaling.desired, scaling.most
                );
                query(call, &format!("<AutoScalingGroups>{}</AutoScalingGroups>", members([group])))
            }
            "DetachInstances" => {
                about_the_target(&call.list("InstanceIds"));
                assert_eq!(call.param("ShouldDecrementDesiredCapacity"), Some("false"), "the group keeps its capacity");
                assert_eq!(scaling.lifecycle.as_deref(), Some("InService"), "to detach another one could end others");
                (scaling.lifecycle, scaling.protected) = (None, false);
                query(call, "")
            }
            "AttachInstances" => {
                about_the_target(&call.list("InstanceIds"));
                if scaling.desired >= scaling.most {
                    return Answer::query_error(400, "ValidationError", "the group would be larger than it may be");
                }
                scaling.desired += 1;
                scaling.lifecycle = Some("InService".to_owned());
                query(call, "")
            }
            _ => panic!("teach the account {}", call.action),
        }
    }

    pub(super) fn balancers(&mut self, call: &Call, operation: &str) -> Answer {
        match operation {
            "DescribeTargetGroups" => {
                let wanted = call.list("TargetGroupArns");
                let named = |arn: &String| wanted.is_empty() || wanted.contains(&arn.as_str());
                let group = |(arn, group): (&String, &TargetGroup)| {
                    format!(
                        "<TargetGroupArn>{arn}</TargetGroupArn><VpcId>{}</VpcId><TargetType>{}</TargetType>",
                        group.vpc, group.kind
                    )
                };
                let all = self.target_groups.iter().filter(|(arn, _)| named(arn)).map(group);
                query(call, &format!("<TargetGroups>{}</TargetGroups>", members(all)))
            }
            "DescribeTargetHealth" => {
                let target = |(id, port): &(String, i32)| {
                    format!(
                        "<Target><Id>{id}</Id><Port>{port}</Port></Target><TargetHealth><State>healthy</State></TargetHealth>"
                    )
                };
                let all = self.target_groups[call.param("TargetGroupArn").unwrap()].targets.iter().map(target);
                query(call, &format!("<TargetHealthDescriptions>{}</TargetHealthDescriptions>", members(all)))
            }
            "DeregisterTargets" | "RegisterTargets" => self.registration(call, operation == "RegisterTargets"),
            "DescribeLoadBalancers" => {
                let wanted = call.list("LoadBalancerNames");
                let all = self.classic.iter().filter(|(name, _)| wanted.is_empty() || wanted.contains(&name.as_str()));
                let balancer = |(name, registered): (&String, &bool)| {
                    let instance = format!("<InstanceId>{INSTANCE}</InstanceId>");
                    let instances = members(registered.then_some(instance));
                    format!("<LoadBalancerName>{name}</LoadBalancerName><Instances>{instances}</Instances>")
                };
                query(call, &format!("<LoadBalancerDescriptions>{}</LoadBalancerDescriptions>", members(all.map(balancer))))
            }
            "DeregisterInstancesFromLoadBalancer" | "RegisterInstancesWithLoadBalancer" => {
                about_the_target(&[call.param("Instances.member.1.InstanceId").unwrap()]);
                let name = call.param("LoadBalancerName").unwrap();
                *self.classic.get_mut(name).unwrap() = operation.starts_with("Register");
                query(call, "")
            }
            _ => panic!("teach the account {}", call.action),
        }
    }

    fn registration(&mut self, call: &Call, register: bool) -> Answer {
        let (id, port) = (call.param("Targets.member.1.Id").unwrap(), call.param("Targets.member.1.Port").unwrap());
        let own = |id: &str| id == INSTANCE || self.nics.values().any(|nic| nic.is_at(id));
        assert!(own(id), "nobody but the target is touched: {id}");
        let target = (id.to_owned(), port.parse().unwrap());
        let group = self.target_groups.get_mut(call.param("TargetGroupArn").unwrap()).unwrap();
        if register {
            group.targets.insert(target);
        } else {
            group.targets.remove(&target);
        }
        query(call, "")
    }
}
