-- At every date at most one version of an aircraft holds, and a version holds for at least a day.
with

versions as (

    select
        tail_number,
        valid_from,
        valid_to,
        lead(valid_from) over (partition by tail_number order by valid_from) as next_valid_from
    from {{ ref('dim_aircraft') }}

)

select *
from versions
where
    valid_to <= valid_from
    or next_valid_from < coalesce(valid_to, 'infinity')
