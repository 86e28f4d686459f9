# Every case of cases/*.yaml, for `opa test include/policies`; `interlock policy test` runs them without OPA.
package interlock.actions_test

test_case[case.name] if {
	some topic, listed in data.cases
	topic != "bases"
	some case in listed
	decision := data.interlock.actions.decision with input as object.union(data.cases.bases[case.base], case.change)
	every name in {"outcome", "approvals_required", "approvals_counted"} {
		decision[name] == object.get(case.expect, name, decision[name])
	}
	codes := {reason.code | some reason in decision.reasons}
	every code in object.get(case.expect, "because", []) {
		code in codes
	}
	obliged := {obligation.code | some obligation in decision.obligations}
	every code in object.get(case.expect, "obligations", []) {
		code in obliged
	}
}
