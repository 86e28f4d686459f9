-- Roles make the boundaries real. They belong to the server, so they are created where missing and
-- never dropped here. Run as the administrator; everything after this file runs as interlock_owner.
do $$
declare
  role_name text;
begin
  foreach role_name in array array[
    'interlock_owner', 'interlock_reader', 'interlock_waived_reader', 'interlock_loader', 'interlock_builder', 'interlock_gate', 'interlock_publisher',
    'interlock_operator', 'interlock_controller', 'interlock_auditor', 'interlock_consumer', 'interlock_developer'
  ] loop
    if not exists (select from pg_roles where rolname = role_name) then
      begin
        execute format('create role %I %s', role_name, case when role_name in ('interlock_owner', 'interlock_reader', 'interlock_waived_reader') then 'nologin' else 'login' end);
      exception when duplicate_object or unique_violation then
        null;  -- another database of this server was migrated at the same moment
      end;
    end if;
  end loop;

  -- An administrator who is no superuser must be able to act as the owner.
  if not (select rolsuper from pg_roles where rolname = current_user) then
    execute format('grant interlock_owner to %I with inherit true, set true', current_user);
  end if;

  -- Sealing takes a candidate away from whoever built it: the owner may act for the builder, never the reverse.
  grant interlock_builder to interlock_owner with inherit true, set true;
  -- A takeover ends what is still under way of the run that lost its claim: for that the owner has the writers' rights.
  grant interlock_loader, interlock_gate, interlock_publisher, interlock_operator to interlock_owner with inherit true, set false;
  -- Nobody logs in as a reader: they own the views of `safe` and of `waived`, and see of a published table what their
  -- policies let through.
  grant interlock_reader, interlock_waived_reader to interlock_owner with inherit true, set true;

  execute format('grant create, connect, temporary on database %I to interlock_owner', current_database());
  execute format('revoke all on database %I from public', current_database());
  execute format(
    'grant connect on database %I to interlock_loader, interlock_builder, interlock_gate, interlock_publisher,'
    ' interlock_operator, interlock_controller, interlock_auditor, interlock_consumer, interlock_developer', current_database());
  execute format('grant temporary on database %I to interlock_loader, interlock_developer', current_database());
  execute format('grant create on database %I to interlock_developer', current_database());
  execute format('alter database %I set timezone to ''UTC''', current_database());
end;
$$;

revoke create on schema public from public;
create schema if not exists interlock authorization interlock_owner;
grant usage on schema interlock to
  interlock_loader, interlock_builder, interlock_gate, interlock_publisher,
  interlock_operator, interlock_controller, interlock_auditor, interlock_consumer, interlock_developer;
