-- Who acts: the credentials by which a person is known, a token of theirs or their login in Airflow, and what each may do.
-- Of a token only its hash is kept. Judged by real time, whatever the platform's clock is set to.

create table interlock.credential (
  credential_id integer generated always as identity primary key,
  person text not null check (person ~ '^[a-z0-9][a-z0-9._@+-]{0,99}$'),
  form text not null generated always as (case when hash is null then 'airflow' else 'token' end) stored,
  hash bytea unique check (octet_length(hash) = 32),
  airflow_login text check (airflow_login ~ '^[^[:cntrl:]]{1,250}$'),
  scopes text[] not null check (scopes <@ array['read', 'propose', 'approve', 'execute'] and cardinality(scopes) between 1 and 4),
  -- As text, where a name that needs quotes shows them, and null reads NULL.
  domains text[] not null check (domains::text ~ '^\{(\*|[a-z][a-z0-9_]{0,39}(,[a-z][a-z0-9_]{0,39})*)\}$'),
  note text check (note <> ''),
  created_at timestamptz not null,
  created_by text not null check (created_by <> ''),
  expires_at timestamptz not null,
  revoked_at timestamptz,
  revoked_by text check (revoked_by <> ''),
  revoked_because text check (revoked_because <> ''),
  last_used_at timestamptz,
  check (num_nonnulls(hash, airflow_login) = 1),
  check (expires_at > created_at and expires_at <= created_at + interval '366 days'),
  check (num_nulls(revoked_at, revoked_by, revoked_because) in (0, 3)),
  check (revoked_at >= created_at)
);
comment on table interlock.credential is 'Read by nobody but the functions below: everybody else sees interlock.credentials.';
comment on column interlock.credential.person is
  'Who acts, under one name by whatever door: nobody approves by another door what they proposed. ASCII, so that no two names look alike.';
comment on column interlock.credential.domains is 'Where the scopes hold; * is every domain, and the platform itself.';
create unique index one_person on interlock.credential (airflow_login) where revoked_at is null;

create view interlock.credentials as
select
  c.credential_id, c.person, c.form, c.airflow_login, c.scopes, c.domains, c.note, c.created_at, c.created_by, c.expires_at,
  c.revoked_at, c.revoked_by, c.revoked_because, c.last_used_at,
  case when c.revoked_at is not null then 'revoked' when c.expires_at <= clock_timestamp() then 'expired' else 'live' end as state
from interlock.credential c;

-- Ends a credential before its time. One that was revoked already stays as it was: the first reason counts.
create function interlock.revoke_credential(credential_id integer, reason text, actor text) returns void
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  ended interlock.credential;
begin
  perform interlock.decide_alone();
  update interlock.credential c set revoked_at = clock_timestamp(), revoked_by = actor, revoked_because = reason
  where c.credential_id = revoke_credential.credential_id and c.revoked_at is null returning * into ended;
  if ended.credential_id is not null then
    insert into interlock.event (kind, actor, payload)
    values ('credential_revoked', actor, jsonb_strip_nulls(jsonb_build_object('credential', ended.credential_id,
      'person', ended.person, 'form', ended.form, 'airflow_login', ended.airflow_login, 'scopes', ended.scopes,
      'domains', ended.domains, 'reason', reason)));
  elsif not exists (select from interlock.credential c where c.credential_id = revoke_credential.credential_id) then
    raise exception 'there is no credential %', revoke_credential.credential_id using errcode = 'IL018',
      hint = '`interlock token list` shows them.';
  end if;
end;
$$;

-- Gives a person a token, known by its hash, or else their login in Airflow, which belongs to one person at a time.
create function interlock.create_credential(
  person text, hash bytea, airflow_login text, scopes text[], domains text[], note text, lasts interval, actor text) returns integer
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  held interlock.credential;
  made interlock.credential;
  instant timestamptz;
begin
  perform interlock.decide_alone();
  instant := clock_timestamp();
  select * into held from interlock.credential c
  where c.airflow_login = create_credential.airflow_login and c.revoked_at is null;
  if held.expires_at > instant then
    raise exception 'the Airflow login "%" is that of % (credential %)', airflow_login, held.person, held.credential_id
      using errcode = 'IL018', hint = format('To give it other rights, or to somebody else: interlock token revoke %s --reason "...", then again.',
        held.credential_id);
  elsif held.credential_id is not null then
    perform interlock.revoke_credential(held.credential_id, 'It had expired, and another takes its place.', actor);
  end if;
  insert into interlock.credential (person, hash, airflow_login, scopes, domains, note, created_at, created_by, expires_at)
  values (person, hash, airflow_login, scopes, domains, note, instant, actor, instant + lasts)
  returning * into made;
  insert into interlock.event (kind, actor, payload)
  values ('credential_created', actor, jsonb_strip_nulls(jsonb_build_object('credential', made.credential_id,
    'person', made.person, 'form', made.form, 'airflow_login', made.airflow_login, 'scopes', made.scopes, 'domains', made.domains,
    'note', made.note, 'expires_at', to_char(made.expires_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))));
  return made.credential_id;
end;
$$;

-- The credential, noted as used; raises where it is dead. Why it was revoked is not its holder's to know.
create function interlock.live_credential(c interlock.credential) returns interlock.credentials
language plpgsql as $$
declare
  what text := case c.form when 'token' then format('the token %s of %s', c.credential_id, c.person)
    else format('the right of the Airflow login "%s" to act as %s', c.airflow_login, c.person) end;
  found_as interlock.credentials;
begin
  select * into found_as from interlock.credentials v where v.credential_id = c.credential_id;
  if found_as.state <> 'live' then
    raise exception '% % on % UTC', what, case found_as.state when 'expired' then 'expired' else 'was revoked' end,
      to_char(coalesce(found_as.revoked_at, found_as.expires_at) at time zone 'UTC', 'YYYY-MM-DD HH24:MI')
      using errcode = 'IL018', hint = format('Ask whoever administers the platform for another: interlock token create --for %s%s%s%s',
        c.person, ' --scope ' || array_to_string(c.scopes, ' --scope '), ' --domain ' || replace(array_to_string(c.domains, ' --domain '), '*', '''*'''),
        ' --airflow-login ' || quote_literal(c.airflow_login));
  end if;
  -- Not more than once a minute: who asks often does not write as often.
  update interlock.credential x set last_used_at = clock_timestamp()
  where x.credential_id = c.credential_id
    and (x.last_used_at is null or x.last_used_at < clock_timestamp() - interval '1 minute');
  return found_as;
end;
$$;

-- Who holds the token with this hash. Looked up by the hash, so that the time it takes tells nothing about the secret.
create function interlock.authenticate_token(hash bytea) returns interlock.credentials
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  c interlock.credential;
begin
  select x.* into c from interlock.credential x where x.hash = authenticate_token.hash;
  if c.credential_id is null then
    raise exception 'the token is not known to this platform' using errcode = 'IL018',
      hint = 'See that all of it was copied, and that it was made for this database; or ask for another: interlock token create';
  end if;
  return interlock.live_credential(c);
end;
$$;

-- Whose login in Airflow this is. Whether it is they who logged in is Airflow's to know.
create function interlock.authenticate_airflow(login text) returns interlock.credentials
language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare
  c interlock.credential;
begin
  select x.* into c from interlock.credential x where x.airflow_login = login order by x.credential_id desc limit 1;
  if c.credential_id is null then
    raise exception 'the Airflow login "%" is nobody''s who may act here', login using errcode = 'IL018',
      hint = format('Whoever administers the platform says whose it is: interlock token create --for NAME --airflow-login %s'
        ' --scope approve --domain DOMAIN', quote_literal(login));
  end if;
  return interlock.live_credential(c);
end;
$$;

grant select on interlock.credentials to interlock_operator, interlock_auditor;
grant execute on function interlock.create_credential, interlock.revoke_credential to interlock_operator;
grant execute on function interlock.authenticate_token, interlock.authenticate_airflow to interlock_controller;
