"""The kinds of values that one expression describes, by the name the table gives them; the whole value must match."""

from collections.abc import Mapping

_INSPECTED = (
    r"\.(State|Name|Id|Image|Created|RestartCount|Driver|Platform|NetworkSettings|Mounts|SizeRw|SizeRootFs|LogPath)\b"
    r"|\.HostConfig\.(Memory\w*|NanoCpus|Cpu\w+|RestartPolicy|NetworkMode|PidsLimit|OomKillDisable)\b"
    r"|\.Config\.(Image|Hostname|Healthcheck|ExposedPorts)\b"
)
_FIELD = rf"\{{\{{ *((json +)?({_INSPECTED})[\w.]*|\"\\[nt]\") *\}}\}}"
_RANGE = (
    r"\{\{ *range +(\$\w+, *\$\w+ *:= *)?\.(NetworkSettings\.(Networks|Ports)|Mounts) *\}\}[^{}]*"
    r"(\{\{ *(json +)?(\$\w+|\.\w+|\.) *\}\}[^{}]*)+\{\{ *end *\}\}"
)
_LAMBDA = (
    r"(FunctionName|FunctionArn|Runtime|State|StateReason\w*|LastUpdate\w*|LastModified|Timeout|MemorySize|CodeSize"
    r"|Version|Handler)"
)
_LAMBDAS = rf"({_LAMBDA}|\[{_LAMBDA}(, ?{_LAMBDA})*\])"
_GCLOUD_HIDDEN = (
    r"metadata|env|secret|passw|key|token|cert|auth|\*|config\b"
    r"|\b(spec|template|containers|settings|items|value)\b(\[\d*\])?(?!\.[a-z]+\b(?!\())"
)
_GCLOUD_TRANSFORM = r"(?<=\.)(basename|scope|date|duration|size)\([\w:,'%/ -]*\)"


def _words(expression: str) -> str:
    """Return what takes whole words in one way only: else many words would be tried in ever so many ways."""
    return rf"(?>(?:{expression})(?= |$))"


_PS_COLUMNS = r"(?!\S*env)[\w,=%:.+-]+"
_PS_NAME = r"([^\se,-][^\se,]*|(?=[^pokONUtWq\s,]*[bdiyz_.-])[a-z_][\w.-]*)"
"""No `e`, or a letter that is none of BSD's before one that takes what follows."""
_PS_LIST = rf"(root|postgres|{_PS_NAME})(,(root|postgres|{_PS_NAME}))*"
_PS_SHOWN = rf"--sort[= ]{_PS_COLUMNS}|--no-head(ers|ing)|--no-headings|--cols[= ]\d+|-?w+"
_PS_PLAIN = (
    rf"-?o {_PS_COLUMNS}|--format[= ]{_PS_COLUMNS}|-?p ?\d+(,\d+)*|\d+(,\d+)*|--p?pid[= ]\d+(,\d+)*|--forest"
    rf"|{_PS_SHOWN}"
)
_PS_BSD = rf"{_words(rf'-?[acfghjlmrSTuvwxXL]+(o {_PS_COLUMNS})?')}( {_words(_PS_PLAIN)})*+"
_PS_CHOICE = _words(
    rf"{_PS_PLAIN}|-[AadfFjlLNTwyZc]+(o {_PS_COLUMNS})?|-[AadfFjlLNTwyZc]*p \d+(,\d+)*|-C ?{_PS_NAME}"
    rf"|-[AadfFjlLNTwyZc]*[uUgG] {_PS_LIST}|--user[= ]{_PS_LIST}"
)
_PS_CHOSEN = rf"{_PS_CHOICE}( {_PS_CHOICE})*+"
_PS_EVERY = "|".join(
    rf"{_words(every)}( {_words(besides)})*+"
    for every, besides in (
        ("-[fFjly]*e[fFjly]*", rf"--forest|{_PS_SHOWN}"),
        ("-[fFjlyL]*e[fFjlyL]*", _PS_SHOWN),
        (rf"-eL?( -)?o {_PS_COLUMNS}", rf"-o {_PS_COLUMNS}|{_PS_SHOWN}"),
    )
)
"""`ps` reads all its words once more as BSD's where it does not understand one or two together, and then `e` shows
environments. So that either no word holds an `e`, or it is one of the few ways of saying all processes.
"""

_NO_CLIMB = r"(?!(.*/)?\.\.(/|$))"
"""No way up out of the empty folder that commands run in: a program may take any word for a file."""

PATTERNS: Mapping[str, str] = {
    "plain": rf"(?!-\D){_NO_CLIMB}[\w.,:/@%+=~^-]*",
    "number": r"[+-]?\d+(\.\d+)?[a-zA-Z%]*",
    "short_wait": r"\d{1,2}(\.\d+)?s?",
    "word": rf"{_NO_CLIMB}(?!.*://)[\w.:%+=,^~][\w.,:/@%+=~^-]*",
    "words": r"(?!.*://)[\w.:%+=,^~\"'(][^\x00\n]*",
    "time": r"(?!.*://)[\w+:.-][\w :.,+/-]*",
    "moment": r"@\d+|[\w+:.-][\w :.,+/-]*",
    "name": rf"{_NO_CLIMB}[\w.@:\[\]*?][\w.@:/*?\[\]\\-]*",
    "selector": r"[\w.(!][\w./=!,() -]*",
    "host": r"(?!.*(169\W?254|metadata))[\w:][\w.:-]*",
    "record_type": r"(?i:a|aaaa|any|caa|cname|mx|ns|ptr|soa|srv|txt|ds|dnskey)",
    "dig_operand": r"(?i)(?![ai]xfr)\+[a-z]+(=\w+)?|@[\w.:-]+|(?!([ai]xfr)(=|$))[\w.:*-]+\.?",
    "kube_subresource": r"status|scale|resize",
    "repository": r"(?!(/(etc|proc|sys|dev|boot|root|run|bin|s?bin|lib|lib64|usr/lib)?)(/|$)).+",
    "date_format": r"\+.*",
    "ps_words": rf"{_PS_BSD}|{_PS_CHOSEN}|{_PS_EVERY}|",
    "process_pattern": r"[^\x00]+",
    "sysctl_name": r"(?!.*(\.\.|_key|secret))[a-z][\w-]*([./][\w*-]+)*",
    "unit": r"[\w.@:\\*?-]+",
    "unit_property": r"(?!.*(?i:environment|credential))\w+(,\w+)*",
    "journal_match": r"(_[A-Z_]+|SYSLOG_IDENTIFIER|CONTAINER_[A-Z_]+|PRIORITY|UNIT)=[\w./@:-]+|\+",
    "output_format": r"wide|json|yaml|yml|name|table|text|short[\w-]*|cat|verbose|with-unit|json-\w+|csv|tsv|plain",
    "kube_format": r"(wide|json|yaml|name|(jsonpath|jsonpath-as-json|go-template|custom-columns)=[^\x00]*)",
    "sort_key": r"-?[\w:.,]+",
    "socket_filter": r"[<>=!]=?|[\w(!:.*\[][\w.:/()=<>!,*\[\] -]*",
    "az_query": r"(?!.*(?i:secret|password|connectionstring|primarykey|accesskey|env|settings))[^@\x00-][^\x00]*",
    "terraform_address": r"[\w.\[\]\"-]+",
    "tool_filter": r"[\w|.*:/-]+",
    "raw_state": (
        r"/(readyz|livez|healthz)(/[\w-]+)*(\?verbose)?|/version|/metrics"
        r"|/api/v1/nodes/[\w-]+(\.[\w-]+)*/proxy/(stats/summary|metrics(/\w+)?|healthz)"
        r"|/apis/metrics\.k8s\.io/v1beta1/(namespaces/[\w-]+/)?(nodes|pods)"
    ),
    "log_group": r"/?[\w.#/-]+",
    "queue_url": r"https://sqs\.[\w-]+\.amazonaws\.com/\d+/[\w.-]+",
    "lambda_fields": rf"(Functions|Versions)\[[^\]&@]*\]\.{_LAMBDAS}|{_LAMBDAS}",
    "gcloud_fields": (
        r"(value|table|csv|json|yaml|get)\[?[\w,-]*\]?"
        rf"\((?!.*(?i:{_GCLOUD_HIDDEN}))[a-z]([\w.,:= \[\]/-]|{_GCLOUD_TRANSFORM})*\)|table|none"
    ),
    "gcloud_setting": (
        r"(core/)?project|account|(compute|run|container|functions|dataproc)/(zone|region|cluster|location)"
    ),
    "certificate": r"(?!.*(\.\.|//|(?i:key|private|secret)))[\w./@+-]*[\w-]\.(crt|cer|cert|csr|pem|der)",
    "curl_print": r"(?!.*%(output|\{?stderr))[^@\x00-][^\x00]*",
    "curl_header": r"(?i:accept|accept-encoding|accept-language|user-agent|cache-control): ?[\w.,;/=*+ -]*",
    "curl_parameter": r"\w+=[^\x00]*",
    "curl_method": r"GET|HEAD",
    "null_device": r"/dev/null",
    "output_device": r"/dev/(null|stdout|stderr)",
    "ping_interval": r"0?\.[2-9]\d*|[1-9]\d?(\.\d+)?",
    "ping_size": r"\d{1,4}",
    "top_letters": r"(aux|ax)w*",
    "db_name": r"[A-Za-z_][\w-]*",
    "kafka_entity": r"topics|brokers|groups",
    "redis_key": r"[\w:.{}-]+",
    "redis_setting": r"(?!.*(pass|auth|acl|user|\*))[a-z-]+",
    "device": r"/dev/(sd[a-z]|md\d+|nvme\d+(n\d+)?|vd[a-z]|xvd[a-z])",
    "dpkg_path": r"[\w./+:-]+",
    "container": r"[\w][\w.:/@-]*",
    "docker_format": r"[^\x00]*",
    "inspect_format": rf"[^{{}}]*({_FIELD}[^{{}}]*|{_RANGE}[^{{}}]*)+",
    "remote_value": r"(?!(?i:https?|s3)://)(?!.*(?i:fileb?://|@=))[^@\x00-][^\x00]*",
    "region": r"[\w-]+",
    "jmespath": r"(?!.*(?i:://|userdata|user_data|password|secret|environment))[^\x00]+",
    "gcloud_format": r"(?!.*(?i:metadata|env|secret|password|key))[^\x00-][^\x00]*",
    "gs_place": r"gs://[\w./=-]*",
    "jvm_command": r"VM\.(flags|uptime|version|native_memory|classloader_stats)|Thread\.print|GC\.heap_info",
    "s3_place": r"s3://[\w./=-]*",
    "tr_set": r"[^\x00]*",
    "signal_list": r"\d*",
    "interface": r"[\w.@-]+",
    "size": r"[+-]?\d+[bcwkKMGT]?",
    "file_type": r"[fdlpsbc](,[fdlpsbc])*",
    "find_operand": r"[()!,]|\./?|/[\w./@+-]*|[\w.@+][\w./@+-]*",
    "bracket": r"[()!,]",
}
