package interlock.actions

import data.interlock.limits

is_by_person if input.actor.kind == "person"

# METADATA
# title: Rules and runs act by themselves only on evidence of the kinds below; otherwise, as assistants always, they wait for a person
demands contains {
	"approvals": 1,
	"code": "no_sufficient_evidence",
	"message": "Nothing that may act by itself has shown evidence on which this kind runs without a person.",
} if {
	not is_by_person
	not may_run_by_itself
}

may_run_by_itself if {
	input.actor.kind in {"rule", "run"}
	is_evident
}

# METADATA
# title: A served version that a later check, a reconciliation or its producer's recall found bad is quarantined at once
is_evident if {
	input.action.kind == "quarantine_partition"
	input.scope.is_served == true
	is_number(input.scope.version)
	count(input.scope.partitions) > 0
	every partition in input.scope.partitions {
		found_bad[partition]
	}
}

found_bad contains fact.partition if {
	some fact in fresh_evidence
	fact.kind in {"failed_check", "failed_reconciliation", "producer_recall"}
	fact.version == input.scope.version
}

# METADATA
# title: A dataset is paused at once after so many held candidates in a row
is_evident if {
	input.action.kind == "pause_pipeline"
	some fact in fresh_evidence
	fact.kind == "held_candidates"
	fact.count >= limits.held_candidates_in_a_row
}

fresh_evidence contains fact if {
	is_string(input.scope.dataset)
	some fact in input.evidence
	fact.dataset == input.scope.dataset
	fact.at <= input.time
	input.time - fact.at <= limits.evidence_hours * 3600
}

# METADATA
# title: Nothing automatic while a domain is frozen
demands contains {
	"approvals": 1,
	"code": "frozen",
	"message": "A domain of this action is frozen: a person decides.",
} if {
	not is_by_person
	not is_thawed
}

is_thawed if {
	is_array(input.environment.frozen_domains)
	not is_frozen
}

is_frozen if "*" in input.environment.frozen_domains

is_frozen if {
	some domain in input.scope.domains
	domain in input.environment.frozen_domains
}

# METADATA
# title: After so many automatic actions within the window, in the domain or on the platform, a person decides
demands contains {
	"approvals": 1,
	"code": "rate_limited",
	"message": "So many automatic actions were taken lately that a person decides about the next.",
} if {
	not is_by_person
	not is_within_rate
}

is_within_rate if {
	is_array(input.recent)
	count(automatic_lately) < limits.automatic_on_platform
	count(crowded_domains) == 0
}

crowded_domains contains domain if {
	some domain in input.scope.domains
	here := [action | some action in automatic_lately; not is_elsewhere(action, domain)]
	count(here) >= limits.automatic_in_domain
}

automatic_lately := [action | some action in input.recent; not is_exempt(action)]

is_exempt(action) if action.proposed_by == "person"

is_exempt(action) if action.approvals > 0

is_exempt(action) if action.state in {"proposed", "rejected", "expired", "invalidated"}

is_exempt(action) if input.time - action.at > limits.automatic_window_minutes * 60

is_elsewhere(action, domain) if {
	is_array(action.domains)
	not is_there(action, domain)
}

is_there(action, domain) if domain in action.domains

# METADATA
# title: An automatic proposal that an earlier one of its kind, from the same fact, covers already is one action with it
denials contains {
	"code": "collapsed",
	"message": "An earlier action of this kind answers the same fact and covers this one.",
} if count(collapses_into) > 0

collapses_into contains object.get(earlier, "id", "") if {
	some earlier in same_before
	not is_past(earlier)
}

is_past(earlier) if earlier.state in {"rejected", "expired", "failed", "rolled_back", "invalidated"}

is_past(earlier) if input.time - earlier.at > limits.collapse_minutes * 60

# METADATA
# title: What was undone is not done again by itself from the same fact
demands contains {
	"approvals": 1,
	"code": "undone_before",
	"message": "An earlier action of this kind that answered the same fact was undone: a person decides.",
} if count(undone_before) > 0

undone_before := [earlier | some earlier in same_before; not is_standing(earlier)]

is_standing(earlier) if earlier.state != "rolled_back"

# What was proposed without a person, of the same kind, from the same fact and about all of this.
same_before := [earlier | not is_by_person; some earlier in input.recent; not is_unrelated(earlier)]

is_unrelated(earlier) if earlier.kind != input.action.kind

is_unrelated(earlier) if earlier.covers_this == false

is_unrelated(earlier) if earlier.proposed_by == "person"

is_unrelated(earlier) if {
	is_string(earlier.root)
	every fact in input.evidence {
		fact.root != earlier.root
	}
}
