package autoscalerguard

# It decides nothing: it asks the provider, and turns what the constraint asks for into violations.

violation[{"msg": verdict.message, "details": {"rules": verdict.rules}}] {
  reports("refusals")
  verdict.allowed == false
}

# Of a refusal, too: of a deletion that was refused, Helm shows the warnings alone.
violation[{"msg": warning, "details": {"rules": verdict.rules}}] {
  reports("warnings")
  warning := verdict.warnings[_]
}

violation[{"msg": msg}] {
  reports("unanswered")
  reason := unanswered[_]
  msg := sprintf("autoscaler-guard has not judged this change: %v; try again, and if that does not help, see the logs of Deployment autoscaler-guard and of Gatekeeper", [reason])
}

reports(what) {
  input.parameters.violations[_] == what
}

# Without a word from the user nothing passes unjudged.
reports(what) {
  not input.parameters.violations
  {"refusals", "unanswered"}[what]
}

key = json.marshal(input.review)

# Undefined where there is no answer at all: Gatekeeper gives no error of its own then.
response = external_data({"provider": "autoscaler-guard", "keys": [key]}) {
  asked
}

# Gatekeeper does not check what it was answered about.
verdicts = [value |
  response.responses[i][0] == key
  value := response.responses[i][1]
]

verdict = verdicts[0] {
  count(verdicts) == 1
}

unanswered[reason] {
  reason := sprintf("%v", [response.errors[_][1]])
}

unanswered[reason] {
  reason := response.system_error
  reason != ""
}

unanswered["its provider does not answer"] {
  asked
  not response
}

unanswered["its provider's answer has no verdict"] {
  response
  not understood
}

understood {
  is_boolean(verdict.allowed)
  is_string(verdict.message)
  is_array(verdict.rules)
}

understood {
  response.errors[_][1]
}

understood {
  response.system_error != ""
}

# An audit has no operation: nothing happens to an object then.
asked {
  {"CREATE", "UPDATE", "DELETE"}[input.review.operation]
  not exempt
}

# There is no choosing by operation in a constraint. Nobody minds a definition that comes or changes.
exempt {
  input.review.kind.kind == "CustomResourceDefinition"
  input.review.operation != "DELETE"
}

# Nor a new API.
exempt {
  input.review.kind.kind == "APIService"
  input.review.operation == "CREATE"
}

# Controllers and clean-up go on while the provider is down.
exempt {
  regex.match(input.parameters.exemptUsers[_], input.review.userInfo.username)
}

exempt {
  regex.match(input.parameters.exemptGroups[_], input.review.userInfo.groups[_])
}

exempt {
  input.review.object.metadata.deletionTimestamp
}

exempt {
  input.review.operation == "DELETE"
  input.review.oldObject.metadata.deletionTimestamp
}
