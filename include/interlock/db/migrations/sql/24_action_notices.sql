-- What the policy obliges to tell about actions: written with the step that obliges, whoever takes it, and sent by the drain of
-- all notices. Once for each step and recipient, whatever is decided again.

create table interlock.action_notice (
  notice_id bigint generated always as identity primary key,
  action_id bigint not null references interlock.action,
  what text not null check (what in ('awaits_approvals', 'executed', 'rolled_back', 'failed', 'invalidated')),
  recipient text not null,
  domains text[] not null,
  consumers text[] not null,
  created_at timestamptz not null default clock_timestamp(),
  sent_at timestamptz,
  unique (action_id, what, recipient)
);
comment on column interlock.action_notice.domains is 'Those of the recipient''s that the action touches.';
comment on column interlock.action_notice.consumers is 'Those of the recipient''s that it took something from, or gave it back.';
create index on interlock.action_notice (notice_id) where sent_at is null;

-- Consumers are told of what was done to what they read, and nothing that was merely intended: neither a pause nor a rerun takes
-- anything from them. That an action waits is no news any more once it does not. An action that takes back another one tells
-- of both, so the other one is told to nobody whom that reaches.
create function interlock.tell_about_action() returns trigger
language plpgsql as $$
declare
  step text := case
    when new.state = 'proposed' then case when new.decision ->> 'outcome' = 'await_approvals' then 'awaits_approvals' end
    when new.state <> old.state and new.state in ('executed', 'rolled_back', 'failed', 'invalidated') then new.state
  end;
begin
  if new.state <> 'proposed' then
    delete from interlock.action_notice n where n.action_id = new.action_id and n.what = 'awaits_approvals' and n.sent_at is null;
  end if;
  if step is null then
    return null;
  end if;
  insert into interlock.action_notice (action_id, what, recipient, domains, consumers)
  select new.action_id, step, t.recipient,
    coalesce(array_agg(distinct t.domain) filter (where t.domain is not null), '{}'),
    coalesce(array_agg(distinct t.consumer) filter (where t.consumer is not null), '{}')
  from (
    select d.owner as recipient, d.domain, null as consumer
    from jsonb_to_recordset(new.decision -> 'obligations') as o (code text, subject text)
    join interlock.dataset d on o.subject in (d.domain, '*') and d.retired_at is null
    where o.code in ('notify_owner', 'review_afterwards')
    union all
    select coalesce(x.owner, x.contact), null, x.name
    from jsonb_to_recordset(new.decision -> 'obligations') as o (code text, subject text)
    join interlock.dependent x on x.kind = 'consumer' and x.name = o.subject
    where o.code = 'notify_consumer' and step in ('executed', 'rolled_back') and new.kind not in (
      'pause_pipeline', 'resume_pipeline', 'freeze_domain', 'unfreeze_domain', 'rerun_partition', 'cancel_rerun')
  ) as t
  where t.recipient is not null and not exists (
    select from interlock.action_notice n join interlock.action i on i.action_id = n.action_id
    where step = 'rolled_back' and i.undoes = new.action_id and i.state = 'executed'
      and n.what = 'executed' and n.recipient = t.recipient)
  group by t.recipient
  on conflict do nothing;
  return null;
end;
$$;
create trigger tell_about_action after update of state, decision on interlock.action
for each row when (new.state <> old.state or new.decision is distinct from old.decision)
execute function interlock.tell_about_action();

create function interlock.mark_action_notices_sent(sent bigint[]) returns void
language sql security definer set search_path = pg_catalog, pg_temp
begin atomic
  update interlock.action_notice n set sent_at = clock_timestamp() where n.notice_id = any (sent);
end;

grant select on interlock.action_notice to interlock_operator, interlock_auditor;
grant execute on function interlock.mark_action_notices_sent to interlock_operator;
