"""The local cloud: AWS as Cordon needs it, on one loopback port, with no account and no Docker.

ministack runs the state machine, the Lambda binaries, S3, SNS, KMS, IAM, EventBridge and CloudFormation; moto answers
for EC2 and SSM in the same process. This package joins the two, makes them as strict as AWS where they are too kind,
records every call, injects faults, sends the events that AWS would send, deploys the template and makes targets.
"""
