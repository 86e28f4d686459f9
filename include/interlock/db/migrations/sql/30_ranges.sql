-- Requiring a range: every day of it is safe in the caller's snapshot, or the statement fails and says which are not.
create function interlock.require_days(dataset text, first_day date, last_day date) returns void
language plpgsql stable security definer set search_path = pg_catalog, pg_temp as $$
declare
  d integer := interlock.dataset_id_of(require_days.dataset);
  unsafe text[];
  answer jsonb;
begin
  if first_day is null or last_day is null or last_day < first_day then
    raise exception '% to % is no range of days', first_day, last_day using errcode = 'IL002',
      hint = 'Give two days as YYYY-MM-DD, the earlier one first.';
  end if;
  -- A dataset without days has none that could be required: its one partition is `all`.
  unsafe := array(
    -- Counted in days: a series of instants loses one where a time zone skips a midnight.
    select to_char(first_day + n, 'YYYY-MM-DD') from generate_series(0, last_day - first_day) as n
    where not exists (select from interlock.readable_partition r where r.dataset_id = d and r.starts_on = first_day + n)
    order by n);
  if unsafe = '{}' then
    return;
  end if;
  answer := interlock.ask(require_days.dataset, unsafe[1]);
  raise exception '% is not safe on % of the days from % to %: % is %: %', require_days.dataset, cardinality(unsafe), first_day, last_day,
    unsafe[1], answer ->> 'state',
    coalesce((select string_agg(r ->> 'message', ' ') from jsonb_array_elements(answer -> 'reasons') r), 'no reason is recorded')
    using errcode = 'IL020', detail = jsonb_build_object('unsafe', unsafe, 'first', answer)::text,
      hint = format('interlock explain %s --partition %s', require_days.dataset, unsafe[1]);
end;
$$;
grant execute on function interlock.require_days
to interlock_consumer, interlock_developer, interlock_operator, interlock_auditor;
