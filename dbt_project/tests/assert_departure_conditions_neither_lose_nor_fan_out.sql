-- The join to the weather is declared many to one.
with

flights as (

    select * from {{ ref('fct_flights') }}

),

conditions as (

    select * from {{ ref('fct_departure_conditions') }}

),

identities as (

    select
        flight_date,
        carrier_code,
        flight_number,
        origin_code,
        1 as fact_rows,
        0 as condition_rows
    from flights

    union all

    select
        flight_date,
        carrier_code,
        flight_number,
        origin_code,
        0 as fact_rows,
        1 as condition_rows
    from conditions

)

select
    flight_date,
    carrier_code,
    flight_number,
    origin_code,
    sum(fact_rows) as fact_rows,
    sum(condition_rows) as condition_rows
from identities
group by flight_date, carrier_code, flight_number, origin_code
having sum(fact_rows) <> sum(condition_rows)
