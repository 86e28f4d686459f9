package interlock.actions

import data.interlock.limits

# One rule a kind: how many people must approve it before anything else is looked at. A kind without a rule is refused.

# METADATA
# title: Pausing waits for nobody, and can be undone
kind_approvals := 0 if input.action.kind == "pause_pipeline"

# METADATA
# title: Resuming needs one person
kind_approvals := 1 if input.action.kind == "resume_pipeline"

# METADATA
# title: Quarantining a version waits for nobody, and can be undone
kind_approvals := 0 if input.action.kind == "quarantine_partition"

# METADATA
# title: Releasing a quarantined version needs one person
kind_approvals := 1 if input.action.kind == "release_partition"

# METADATA
# title: Rolling back needs one person
kind_approvals := 1 if input.action.kind == "rollback_partition"

# METADATA
# title: Reinstating what was rolled back needs one person
kind_approvals := 1 if input.action.kind == "reinstate_partition"

# METADATA
# title: Running a partition again waits for nobody; its gates judge what comes of it
kind_approvals := 0 if input.action.kind == "rerun_partition"

# METADATA
# title: Calling off a rerun waits for nobody
kind_approvals := 0 if input.action.kind == "cancel_rerun"

# METADATA
# title: A waiver needs one person
kind_approvals := 1 if input.action.kind == "waive"

# METADATA
# title: Revoking a waiver waits for nobody
kind_approvals := 0 if input.action.kind == "revoke_waiver"

# METADATA
# title: Freezing a domain waits for nobody; it only takes away what may happen without a person
kind_approvals := 0 if input.action.kind == "freeze_domain"

# METADATA
# title: Unfreezing a domain needs one person
kind_approvals := 1 if input.action.kind == "unfreeze_domain"

# METADATA
# title: Activating another policy needs one person who did not propose it
kind_approvals := 1 if input.action.kind == "activate_policy"

demands contains {
	"approvals": kind_approvals,
	"code": "kind",
	"message": sprintf("Approvals that an action of the kind %s needs at least: %d.", [input.action.kind, kind_approvals]),
}

denials contains {"code": "unknown_kind", "message": "No rule speaks of this kind of action."} if not is_known

is_known if kind_approvals >= 0

# METADATA
# title: A waiver names its consumer and its end, and lasts no longer than the longest one
denials contains {
	"code": "waiver_out_of_bounds",
	"message": "A waiver names one consumer and lasts some hours, at most longest_waiver_hours.",
} if {
	input.action.kind == "waive"
	not is_bounded_waiver
}

is_bounded_waiver if {
	trim_space(input.action.parameters.consumer) != ""
	input.action.parameters.lasts_hours > 0
	input.action.parameters.lasts_hours <= limits.longest_waiver_hours
}
