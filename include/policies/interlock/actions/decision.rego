# METADATA
# title: What may be done to data, by whom, and with whose approval
# description: |
#   The entry point is `decision`. What no rule speaks of is refused. Every demand and every denial below is the
#   negation of something that must be *shown*, so that a missing field or a missing number never permits more. What is
#   negated is a rule by its bare name: `not f(input.x)` and `not input.x == true` are undefined, and demand nothing,
#   where input.x is missing, and `not x in xs` is another thing to one engine than to the other.
package interlock.actions

import data.interlock.limits

# METADATA
# title: What nothing else decides is refused
default decision := {
	"allow": false,
	"outcome": "refuse",
	"approvals_required": 2,
	"approvals_counted": 0,
	"obligations": [],
	"caps": {},
	"reasons": [{"code": "undecided", "message": "No rule decides about this action."}],
}

decision := {
	"allow": outcome == "execute",
	"outcome": outcome,
	"approvals_required": approvals_required,
	"approvals_counted": count(approvers),
	"obligations": [obligation | some obligation in obligations],
	"caps": caps,
	"reasons": [reason | some reason in reasons],
}

# METADATA
# title: Where the question is not whole, or a number that the rules go by is none, nothing is decided
denials contains {"code": "malformed", "message": "The question is not whole."} if not is_whole

is_whole if {
	is_array(input.evidence)
	is_array(input.recent)
	is_array(input.approvals)
	is_array(input.scope.partitions)
	is_number(input.blast_radius.partitions)
	is_number(input.time)
	is_number(input.action.proposed_at)
}

denials contains {"code": "misconfigured", "message": "Not all numbers of the policy are there."} if not is_configured

is_configured if {
	is_array(limits.ordinary_criticalities)
	is_number(limits.partitions_without_person)
	is_number(limits.two_persons_beyond_hours)
	is_number(limits.longest_waiver_hours)
	is_number(limits.held_candidates_in_a_row)
	is_number(limits.evidence_hours)
	is_number(limits.approval_hours)
	is_number(limits.automatic_window_minutes)
	is_number(limits.automatic_in_domain)
	is_number(limits.automatic_on_platform)
	is_number(limits.collapse_minutes)
}

outcome := "refuse" if count(denials) > 0

outcome := "await_approvals" if {
	count(denials) == 0
	count(approvers) < approvals_required
}

outcome := "execute" if {
	count(denials) == 0
	count(approvers) >= approvals_required
}

default approvals_required := 2

# METADATA
# title: Of several demands for approvals the strictest holds
approvals_required := max({demand.approvals | some demand in demands})

reasons := denials if count(denials) > 0

reasons := (demanded | missing_approvals) | uncounted_approvals if count(denials) == 0

demanded contains {"code": demand.code, "message": demand.message} if {
	some demand in demands
	demand.approvals == approvals_required
}

obligations contains {"code": "notify_owner", "subject": domain} if some domain in input.blast_radius.domains

obligations contains {"code": "notify_consumer", "subject": consumer} if {
	some consumer in input.blast_radius.consumers
}

obligations contains {"code": "attach_evidence_to", "subject": earlier} if some earlier in collapses_into

# METADATA
# title: The owner reviews what was done automatically
obligations contains {"code": "review_afterwards", "subject": domain} if {
	outcome == "execute"
	not is_by_person
	approvals_required == 0
	some domain in input.scope.domains
}

# METADATA
# title: An execution touches no more than what was decided about
caps["partitions"] := input.blast_radius.partitions

caps["approval_hours"] := limits.approval_hours

caps["lasts_hours"] := limits.longest_waiver_hours if input.action.kind == "waive"
