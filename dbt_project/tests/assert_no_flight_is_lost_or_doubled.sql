-- Identities, not counts: one lost and one doubled also balance.
with

staged as (

    select * from {{ ref('stg_flight_operations__flights') }}

),

flights as (

    select * from {{ ref('fct_flights') }}

),

identities as (

    select
        flight_date,
        carrier_code,
        flight_number,
        origin_code,
        1 as staged_rows,
        0 as fact_rows
    from staged

    union all

    select
        flight_date,
        carrier_code,
        flight_number,
        origin_code,
        0 as staged_rows,
        1 as fact_rows
    from flights

)

select
    flight_date,
    carrier_code,
    flight_number,
    origin_code,
    sum(staged_rows) as staged_rows,
    sum(fact_rows) as fact_rows
from identities
group by flight_date, carrier_code, flight_number, origin_code
having sum(staged_rows) <> sum(fact_rows)
