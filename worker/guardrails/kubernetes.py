"""Which Kubernetes types are for reading: those known to hold no secret. One that is not here is not proven."""

import re

_OPEN = frozenset(
    """
    all pod po deployment deploy replicaset rs statefulset sts daemonset ds job cronjob cj replicationcontroller rc
    service svc endpoint ep endpointslice ingress ing ingressclass networkpolicy netpol node no namespace ns event ev
    horizontalpodautoscaler hpa poddisruptionbudget pdb persistentvolumeclaim pvc persistentvolume pv storageclass sc
    volumeattachment csidriver csinode csistoragecapacity resourcequota quota limitrange limit serviceaccount sa role
    rolebinding clusterrole clusterrolebinding customresourcedefinition crd apiservice priorityclass pc
    runtimeclass lease
    componentstatus cs podtemplate controllerrevision validatingwebhookconfiguration mutatingwebhookconfiguration
    validatingadmissionpolicy flowschema prioritylevelconfiguration podmetric nodemetric
    virtualservice vs destinationrule dr gateway gw serviceentry se sidecar peerauthentication authorizationpolicy
    envoyfilter workloadentry telemetry httproute grpcroute tcproute gatewayclass referencegrant
    application app appproject applicationset rollout analysisrun certificate cert issuer clusterissuer
    scaledobject scaledjob servicemonitor podmonitor prometheusrule prometheus alertmanager probe
    verticalpodautoscaler vpa nodepool nodeclaim nodeclass ec2nodeclass provisioner machine machinedeployment machineset
    cluster kustomization ks helmrelease hr gitrepository helmrepository helmchart ocirepository kafka kafkatopic
    ciliumnetworkpolicy cnp ciliumendpoint cep ciliumnode ippool ingressroute targetgroupbinding dnsendpoint
    workflow wf cronworkflow pipelinerun taskrun volumesnapshot volumesnapshotclass volumesnapshotcontent
    certificaterequest cr challenge order route deploymentconfig dc project clusteroperator co clusterversion
    machineconfigpool mcp build buildconfig bc imagestream
    elasticsearch kibana rabbitmqcluster postgresql backup restore schedule sparkapplication nodefeature
    """.split()  # noqa: SIM905 -- two hundred words read better than two hundred strings
)
_TYPE = re.compile(r"[a-z][a-z0-9]*(\.[a-z0-9.-]+)?", re.ASCII)
_NAME = re.compile(r"[\w][\w.:-]*", re.ASCII)


def is_open(value: str) -> bool:
    """Say whether `type`, `type,type` or `type/name` names open types only."""
    types, slash, name = value.partition("/")
    if slash and not _NAME.fullmatch(name):
        return False
    return all(_is_open_type(one) for one in types.lower().split(","))


def _is_open_type(value: str) -> bool:
    """Look a type up without its group and version, in the singular."""
    if not _TYPE.fullmatch(value):
        return False
    name = value.split(".", maxsplit=1)[0]
    singulars = {name, name.removesuffix("s"), name.removesuffix("es"), name.removesuffix("ies") + "y"}
    return bool(singulars & _OPEN)
