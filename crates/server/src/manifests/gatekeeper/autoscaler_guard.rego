package autoscalerguard

# It decides nothing: it asks the provider, and turns what the constraint wants to be told of into violations.

violation[{"msg": verdict.message, "details": {"rules": verdict.rules}}] {
  tells("refusals")
  verdict.allowed == false
}

# Of a refusal, too: Helm tells of a deletion that was refused by its warnings alone.
violation[{"msg": warning, "details": {"rules": verdict.rules}}] {
  tells("warnings")
  warning := verdict.warnings[_]
}

violation[{"msg": msg}] {
  tells("unanswered")
  reason := unanswered[_]
  msg := sprintf("autoscaler-guard has not judged this change: %v; try again, and if that does not help, see the logs of Deployment autoscaler-guard and of Gatekeeper", [reason])
}

tells(what) {
  input.parameters.violations[_] == what
}

# Without a word from the user nothing passes unjudged.
tells(what) {
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
  not unasked
}

# There is no choosing by operation in a constraint. Nobody minds a definition that comes or changes.
unasked {
  input.review.kind.kind == "CustomResourceDefinition"
  input.review.operation != "DELETE"
}

# Nor a new API.
unasked {
  input.review.kind.kind == "APIService"
  input.review.operation == "CREATE"
}

# Controllers and clean-up go on while the provider is down.
unasked {
  regex.match(input.parameters.unaskedUsers[_], input.review.userInfo.username)
}

unasked {
  regex.match(input.parameters.unaskedGroups[_], input.review.userInfo.groups[_])
}

unasked {
  input.review.object.metadata.deletionTimestamp
}

unasked {
  input.review.operation == "DELETE"
  input.review.oldObject.metadata.deletionTimestamp
}
