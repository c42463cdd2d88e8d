# What Gatekeeper makes of the provider's answers: `make rego`.
package autoscalerguard

deny = {"violations": ["refusals", "unanswered"], "exemptUsers": ["^system:kube-controller-manager$", "^root.*$"], "exemptGroups": ["^admins$"]}

warn = object.union(deny, {"violations": ["warnings"]})

deletion = {
  "operation": "DELETE",
  "userInfo": {"username": "jane", "groups": ["dev"]},
  "object": {"metadata": {"name": "web"}},
  "oldObject": {"metadata": {"name": "web"}},
}

reported(parameters, review, answer) = messages {
  messages := {one.msg | violation[one]} with input as {"parameters": parameters, "review": review, "answer": answer} with external_data as given
}

given(_) = input.answer

# As Gatekeeper words an answer.
answered(value) = {"responses": [[json.marshal(deletion), value]], "errors": [], "status_code": 200, "system_error": ""}

refused = answered({"allowed": false, "message": "no", "warnings": ["mind"], "rules": ["hpa-deleted"]})

warned = answered({"allowed": true, "message": "", "warnings": ["a", "b"], "rules": ["hpa-deleted"]})

allowed = answered({"allowed": true, "message": "", "warnings": [], "rules": []})

test_a_refusal_denies_and_warns {
  reported(deny, deletion, refused) == {"no"}
  reported(warn, deletion, refused) == {"mind"}
}

test_warnings_are_for_the_constraint_that_warns {
  reported(deny, deletion, warned) == set()
  reported(warn, deletion, warned) == {"a", "b"}
}

test_what_is_allowed_passes {
  reported(deny, deletion, allowed) == set()
  reported(warn, deletion, allowed) == set()
}

failures = {
  "broken": {"responses": [], "errors": [["key", "broken"]], "status_code": 200, "system_error": ""},
  "too many": {"responses": [], "errors": [], "status_code": 503, "system_error": "too many"},
  "down": {"responses": null, "errors": null, "status_code": 500, "system_error": "down"},
}

senseless = [
  {"responses": [], "errors": [], "status_code": 200, "system_error": ""},
  {},
  answered("allowed"),
  answered({"allowed": "yes", "message": "", "rules": []}),
  answered({"allowed": false}),
  answered({"allowed": false, "rules": []}),
  {"responses": [["another key", {"allowed": true, "message": "", "warnings": [], "rules": []}]], "errors": [], "status_code": 200, "system_error": ""},
  object.union(allowed, {"responses": array.concat(allowed.responses, refused.responses)}),
]

unjudged(messages, reason) {
  count(messages) == 1
  messages[message]
  startswith(message, sprintf("autoscaler-guard has not judged this change: %v;", [reason]))
}

test_errors_are_reported {
  count({reason | failure := failures[reason]; unjudged(reported(deny, deletion, failure), reason)}) == 3
}

test_answers_without_sense_are_reported {
  count({i | answer := senseless[i]; unjudged(reported(deny, deletion, answer), "its provider's answer has no verdict")}) == count(senseless)
}

# An error of the built-in function, as where there is no connection, leaves it undefined.
nothing(_) = answer {
  false
  answer := {}
}

silence(parameters, review) = messages {
  messages := {one.msg | violation[one]} with input as {"parameters": parameters, "review": review} with external_data as nothing
}

test_silence_is_reported {
  unjudged(silence(deny, deletion), "its provider does not answer")
}

test_nothing_passes_unjudged_unless_the_user_says_so {
  unjudged(silence({}, deletion), "its provider does not answer")
  reported({}, deletion, refused) == {"no"}
  silence({"violations": ["refusals"]}, deletion) == set()
  silence({"violations": []}, deletion) == set()
}

only_this_key(asked) = answer {
  asked.provider == "autoscaler-guard"
  count(asked.keys) == 1
  json.unmarshal(asked.keys[0]) == deletion
  answer := refused
}

test_the_review_is_the_key {
  messages := {one.msg | violation[one]} with input as {"parameters": deny, "review": deletion} with external_data as only_this_key
  messages == {"no"}
}

terminating = {"metadata": {"deletionTimestamp": "2026-11-21T17:10:00Z"}}

unaffected = [
  {"userInfo": {"username": "system:kube-controller-manager"}},
  {"userInfo": {"username": "root-2"}},
  {"userInfo": {"username": "jane", "groups": ["dev", "admins"]}},
  {"operation": "UPDATE", "object": terminating},
  {"oldObject": terminating},
  {"operation": "CONNECT"},
  {"operation": "CREATE", "kind": {"kind": "CustomResourceDefinition"}},
  {"operation": "UPDATE", "kind": {"kind": "CustomResourceDefinition"}},
  {"operation": "CREATE", "kind": {"kind": "APIService"}},
  # Gatekeeper's audit.
  {"operation": ""},
  {"operation": null},
]

test_controllers_and_clean_up_go_on_while_the_provider_is_down {
  count({i | silence(deny, object.union(deletion, unaffected[i])) == set()}) == count(unaffected)
}

test_nobody_else_does {
  count(silence(deny, object.union(deletion, {"userInfo": {"username": "my-root"}}))) == 1
  count(silence(deny, object.union(deletion, {"operation": "CREATE"}))) == 1
  count(silence(deny, object.union(deletion, {"kind": {"kind": "CustomResourceDefinition"}}))) == 1
  count(silence(deny, object.remove(deletion, ["userInfo"]))) == 1
}
