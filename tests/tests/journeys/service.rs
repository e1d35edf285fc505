//! What surrounds a target that serves: an Auto Scaling group, target groups, a classic load balancer; and how it all stands.

use aws_sdk_autoscaling::types::LaunchTemplateSpecification;
use aws_sdk_ec2::types::{
    AttributeBooleanValue as Flag, Filter, Instance, InstanceAttributeName, InstanceType, NetworkInterface,
    RequestLaunchTemplateData,
};
use aws_sdk_elasticloadbalancing::types::{Instance as Member, Listener};
use aws_sdk_elasticloadbalancingv2::types::{ProtocolEnum, TargetDescription, TargetTypeEnum};
use journeys::World;
use journeys::world::until;

/// The clients, and the names of what was made.
pub(crate) struct Service {
    pub(crate) scaling: aws_sdk_autoscaling::Client,
    pub(crate) classic: aws_sdk_elasticloadbalancing::Client,
    pub(crate) balancers: aws_sdk_elasticloadbalancingv2::Client,
    pub(crate) target_group: String,
}

/// How a target stands, in whole descriptions, but for what no release gives back and what nobody changed.
#[derive(Debug, PartialEq)]
pub(crate) struct Standing {
    instance: Instance,
    interfaces: Vec<NetworkInterface>,
    termination_protection: Option<bool>,
    stop_protection: Option<bool>,
    shutdown: Option<String>,
    targets: Vec<(String, Option<i32>)>,
    classic: Vec<String>,
}

impl Service {
    /// A target group and a classic load balancer in the VPC of `instance`, which is registered with both, with the first on
    /// two ports.
    pub(crate) async fn around(world: &World, instance: &str) -> Self {
        let config = world.config();
        let (scaling, classic, balancers) = (
            aws_sdk_autoscaling::Client::new(config),
            aws_sdk_elasticloadbalancing::Client::new(config),
            aws_sdk_elasticloadbalancingv2::Client::new(config),
        );
        let instance_now = described(world, instance).await;
        let (vpc, subnet) = (instance_now.vpc_id.unwrap(), instance_now.subnet_id.unwrap());
        let made = balancers.create_target_group().name("web").protocol(ProtocolEnum::Http).port(80).vpc_id(vpc);
        let made = made.target_type(TargetTypeEnum::Instance).send().await.unwrap();
        let target_group = made.target_groups()[0].target_group_arn().unwrap().to_owned();
        let listener = Listener::builder().protocol("tcp").load_balancer_port(80).instance_port(80).build().unwrap();
        let balancer = classic.create_load_balancer().load_balancer_name("old").listeners(listener);
        balancer.subnets(subnet).send().await.unwrap();
        let service = Self { scaling, classic, balancers, target_group };
        service.register(instance).await;
        service
    }

    /// Registers an instance as the service has it.
    async fn register(&self, instance: &str) {
        let target = |port| TargetDescription::builder().id(instance).port(port).build();
        let register = self.balancers.register_targets().target_group_arn(&self.target_group);
        register.targets(target(80)).targets(target(8080)).send().await.unwrap();
        let member = Member::builder().instance_id(instance).build();
        let register = self.classic.register_instances_with_load_balancer().load_balancer_name("old").instances(member);
        register.send().await.unwrap();
    }

    /// An Auto Scaling group of one, in the subnet of `like`; gives its member.
    pub(crate) async fn group(&self, world: &World, like: &str) -> String {
        let like = described(world, like).await;
        let data =
            RequestLaunchTemplateData::builder().image_id(like.image_id.unwrap()).instance_type(InstanceType::T3Micro).build();
        let template = world.ec2.create_launch_template().launch_template_name("web").launch_template_data(data);
        template.send().await.unwrap();
        let template = LaunchTemplateSpecification::builder().launch_template_name("web").version("1").build();
        let make = self.scaling.create_auto_scaling_group().auto_scaling_group_name("web").launch_template(template);
        let make = make.min_size(1).max_size(2).desired_capacity(1).vpc_zone_identifier(like.subnet_id.unwrap());
        make.send().await.unwrap();
        let member = until("the group has its member", || async { self.members().await.into_iter().next() }).await;
        self.register(&member).await;
        member
    }

    /// The members of the group.
    pub(crate) async fn members(&self) -> Vec<String> {
        let answer = self.scaling.describe_auto_scaling_instances().send().await.unwrap();
        answer.auto_scaling_instances().iter().filter_map(|it| it.instance_id().map(str::to_owned)).collect()
    }

    /// Where an instance is registered in the target group, by its ports.
    async fn targets(&self, instance: &str) -> Vec<(String, Option<i32>)> {
        let answer = self.balancers.describe_target_health().target_group_arn(&self.target_group).send().await.unwrap();
        let targets = answer.target_health_descriptions().iter().filter_map(|it| it.target());
        let ours = targets.filter(|target| target.id() == Some(instance));
        let mut ours: Vec<_> = ours.map(|target| (target.id().unwrap_or_default().to_owned(), target.port())).collect();
        ours.sort();
        ours
    }

    /// The classic load balancers that an instance is registered with.
    async fn classic_of(&self, instance: &str) -> Vec<String> {
        let answer = self.classic.describe_load_balancers().send().await.unwrap();
        let with = answer
            .load_balancer_descriptions()
            .iter()
            .filter(|it| it.instances().iter().any(|member| member.instance_id() == Some(instance)));
        with.filter_map(|it| it.load_balancer_name().map(str::to_owned)).collect()
    }

    /// Whether nobody sends an instance requests any more.
    pub(crate) async fn is_out(&self, instance: &str) -> bool {
        self.targets(instance).await.is_empty() && self.classic_of(instance).await.is_empty()
    }

    /// How an instance stands. Left out are: the tag that Seal sets; connection tracking that nobody had set, which can be set
    /// but not taken away again; and that a change of instance metadata was on its way.
    pub(crate) async fn standing(&self, world: &World, instance: &str) -> Standing {
        let attribute = |name| world.ec2.describe_instance_attribute().instance_id(instance).attribute(name).send();
        let termination = attribute(InstanceAttributeName::DisableApiTermination).await.unwrap();
        let stop = attribute(InstanceAttributeName::DisableApiStop).await.unwrap();
        let shutdown = attribute(InstanceAttributeName::InstanceInitiatedShutdownBehavior).await.unwrap();
        let attached = Filter::builder().name("attachment.instance-id").values(instance).build();
        let interfaces = world.ec2.describe_network_interfaces().filters(attached).send().await.unwrap();
        let mut interfaces = interfaces.network_interfaces.unwrap_or_default();
        interfaces.sort_by(|a, b| a.network_interface_id.cmp(&b.network_interface_id));
        for interface in &mut interfaces {
            interface.connection_tracking_configuration = None;
        }
        let mut found = described(world, instance).await;
        found.tags.iter_mut().for_each(|tags| tags.retain(|tag| tag.key() != Some("cordon:sealed")));
        found.tags = found.tags.filter(|tags| !tags.is_empty());
        for interface in found.network_interfaces.iter_mut().flatten() {
            interface.connection_tracking_configuration = None;
        }
        if let Some(options) = &mut found.metadata_options {
            options.state = None;
        }
        Standing {
            instance: found,
            interfaces,
            termination_protection: termination.disable_api_termination().and_then(Flag::value),
            stop_protection: stop.disable_api_stop().and_then(Flag::value),
            shutdown: shutdown.instance_initiated_shutdown_behavior().and_then(|it| it.value()).map(str::to_owned),
            targets: self.targets(instance).await,
            classic: self.classic_of(instance).await,
        }
    }
}

/// An instance as EC2 describes it.
pub(crate) async fn described(world: &World, instance: &str) -> Instance {
    let answer = world.ec2.describe_instances().instance_ids(instance).send().await.unwrap();
    answer.reservations()[0].instances()[0].clone()
}
