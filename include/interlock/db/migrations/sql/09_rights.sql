-- Rights, not manners: every function is closed, then opened to the one role whose work it is.
revoke all on all functions in schema interlock from public;
alter default privileges for role interlock_owner revoke execute on functions from public;

-- Asking: everybody who may connect.
grant execute on function
  interlock.ask, interlock.is_safe, interlock.require_safe, interlock.now, interlock.state_of, interlock.served_tables, interlock.served_version,
  interlock.known_attachments, interlock.unknown_rows
to interlock_consumer, interlock_developer, interlock_operator, interlock_auditor, interlock_loader, interlock_builder, interlock_gate, interlock_publisher;
-- What a view of accepted loads asks, its reader asks.
grant execute on function interlock.is_replaced
to interlock_developer, interlock_operator, interlock_auditor, interlock_loader, interlock_builder, interlock_gate, interlock_publisher;
grant select on interlock.safety to interlock_consumer, interlock_developer, interlock_operator, interlock_auditor;

-- The platform's own processes read its state; none of them writes a table of it.
grant select on all tables in schema interlock to interlock_operator, interlock_auditor, interlock_loader, interlock_gate, interlock_publisher, interlock_builder;

grant execute on function interlock.register_dataset, interlock.register_lineage, interlock.set_clock, interlock.clear_clock,
  interlock.admit_run, interlock.refuse_run, interlock.start_phase, interlock.end_phase, interlock.finish_run, interlock.renew_leases,
  interlock.mark_notices_sent, interlock.record_rebuild_attempt, interlock.request_late, interlock.dataset_id_of, interlock.is_held, interlock.rows_of
to interlock_operator;
grant execute on function interlock.begin_load, interlock.finish_load, interlock.record_delivery, interlock.refuse_delivery, interlock.current_load,
  interlock.open_quarantine, interlock.close_quarantine
to interlock_loader;
-- It may look at the sequence, to find the load that it opened, but not advance it.
grant select on sequence interlock.version_id to interlock_loader;
grant execute on function interlock.open_workspace, interlock.pin_input, interlock.seal, interlock.close_workspace,
  interlock.report_build_failure to interlock_builder;
grant execute on function interlock.record_verdicts to interlock_gate;
grant execute on function interlock.attach_ahead, interlock.publish to interlock_publisher;
