package interlock.actions

import data.interlock.limits

# METADATA
# title: Anything wider than so many partitions needs a person
demands contains {
	"approvals": 1,
	"code": "wide",
	"message": "It touches more partitions than may be touched without a person.",
} if not is_narrow

is_narrow if {
	input.blast_radius.partitions <= limits.partitions_without_person
	count(input.scope.partitions) <= limits.partitions_without_person
}

# METADATA
# title: A dataset of the highest criticality is touched by a person's decision alone
demands contains {
	"approvals": 1,
	"code": "critical",
	"message": "It touches a dataset whose criticality asks for a person.",
} if not is_ordinary

is_ordinary if input.blast_radius.criticality in limits.ordinary_criticalities

# METADATA
# title: A freeze touches no data, however much there is in the domain
is_narrow if input.action.kind == "freeze_domain"

is_ordinary if input.action.kind == "freeze_domain"

# METADATA
# title: Nothing irreversible happens without a person
demands contains {
	"approvals": 1,
	"code": "irreversible",
	"message": "It cannot be undone.",
} if not is_reversible

is_reversible if input.action.is_reversible == true

# METADATA
# title: A waiver or a rollback of more than a week needs two people
demands contains {
	"approvals": 2,
	"code": "long",
	"message": "It lasts longer or reaches back further than one person may decide.",
} if {
	input.action.kind in {"waive", "rollback_partition"}
	not is_short
}

is_short if {
	input.action.kind == "waive"
	input.action.parameters.lasts_hours <= limits.two_persons_beyond_hours
}

is_short if {
	input.action.kind == "rollback_partition"
	input.action.parameters.reaches_back_hours >= 0
	input.action.parameters.reaches_back_hours <= limits.two_persons_beyond_hours
}

# METADATA
# title: Who proposes may propose in every domain that the action is about
denials contains {
	"code": "proposer_out_of_domain",
	"message": "Whoever proposes this may not propose in every domain that it is about.",
} if not is_entitled_to_propose

is_entitled_to_propose if is_entitled(input.actor, "propose")

# METADATA
# title: Only what somebody proposes who may also execute in those domains waits for nobody
demands contains {
	"approvals": 1,
	"code": "proposes_only",
	"message": "Whoever proposes this may not execute in every domain that it is about.",
} if not is_entitled_to_execute

is_entitled_to_execute if is_entitled(input.actor, "execute")

# METADATA
# title: No action without a rationale
denials contains {"code": "no_rationale", "message": "No action without a rationale."} if not has_rationale

has_rationale if trim_space(input.action.rationale) != ""

# METADATA
# title: A right holds in the domains that it was given for; * means every domain, and the platform itself
is_entitled(actor, right) if {
	right in actor.rights
	count(input.scope.domains) > 0
	every domain in input.scope.domains {
		decides_over(actor, domain)
	}
}

decides_over(actor, domain) if domain in actor.domains

decides_over(actor, _) if "*" in actor.domains

# METADATA
# title: Only people approve, for themselves, in their domains, after the proposal and not long ago; each counts once
approvers contains lower(approval.actor.name) if {
	some approval in input.approvals
	is_by_person_alone(approval)
	is_entitled(approval.actor, "approve")
	is_timely(approval)
	is_of_other_or_may_be_own(approval)
}

is_by_person_alone(approval) if {
	approval.actor.kind == "person"
	is_null(approval.actor.on_behalf_of)
}

is_timely(approval) if {
	approval.at >= input.action.proposed_at
	approval.at <= input.time
	input.time - approval.at <= limits.approval_hours * 3600
}

is_of_other_or_may_be_own(approval) if {
	is_string(approval.actor.name)
	is_proposer_named
	not is_own(approval)
}

is_proposer_named if {
	is_string(input.actor.name)
	is_null(input.actor.on_behalf_of)
}

is_proposer_named if {
	is_string(input.actor.name)
	is_string(input.actor.on_behalf_of)
}

is_own(approval) if lower(approval.actor.name) in proposers

proposers := {lower(name) | some name in [input.actor.name, input.actor.on_behalf_of]; is_string(name)}

# METADATA
# title: Nobody approves their own proposal where two are needed, or where the policy itself changes
is_of_other_or_may_be_own(_) if {
	approvals_required < 2
	input.action.kind != "activate_policy"
}

missing_approvals contains {
	"code": "approvals_missing",
	"message": sprintf("%d of %d approvals count so far.", [count(approvers), approvals_required]),
} if count(approvers) < approvals_required

uncounted_approvals contains {
	"code": "approval_not_counted",
	"message": sprintf("The approval of %s does not count: only people approve, and for themselves.", [approval.actor.name]),
} if {
	some approval in input.approvals
	not is_by_person_alone(approval)
}

uncounted_approvals contains {
	"code": "approval_not_counted",
	"message": sprintf(
		"The approval of %s does not count: it lacks the right to approve in every domain of this action.",
		[approval.actor.name],
	),
} if {
	some approval in input.approvals
	not is_entitled(approval.actor, "approve")
}

uncounted_approvals contains {
	"code": "approval_not_counted",
	"message": sprintf(
		"The approval of %s does not count: it is too old, or older than the proposal.",
		[approval.actor.name],
	),
} if {
	some approval in input.approvals
	not is_timely(approval)
}

uncounted_approvals contains {
	"code": "approval_not_counted",
	"message": sprintf("The approval of %s does not count: it is the proposer's own.", [approval.actor.name]),
} if {
	some approval in input.approvals
	not is_of_other_or_may_be_own(approval)
}
