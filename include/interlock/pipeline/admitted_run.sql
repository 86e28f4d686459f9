-- The newest run under an idempotency key: every attempt of the same work has the same one.
select run_id, domain, partitions, trigger, actor from interlock.run where run_key = %(run_key)s and state <> 'refused' order by run_id desc limit 1
