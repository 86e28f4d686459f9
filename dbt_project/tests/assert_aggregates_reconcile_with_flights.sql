-- Every flight is in one carrier's day, has one outcome, and brings its delay.
with

aggregates as (

    select * from {{ ref('agg_carrier_daily') }}

),

flights as (

    select * from {{ ref('fct_flights') }}

),

contributions as (

    select
        flight_date,
        carrier_code,
        1 as flights,
        1 as outcomes,
        coalesce(arrival_delay_minutes, 0) as arrival_delay_minutes
    from flights

    union all

    select
        flight_date,
        carrier_code,
        -scheduled_flights as flights,
        -completed_flights - cancelled_flights - diverted_flights as outcomes,
        -coalesce(total_arrival_delay_minutes, 0) as arrival_delay_minutes
    from aggregates

)

select
    flight_date,
    carrier_code,
    sum(flights) as missing_flights,
    sum(outcomes) as missing_outcomes,
    sum(arrival_delay_minutes) as missing_arrival_delay_minutes
from contributions
group by flight_date, carrier_code
having sum(flights) <> 0 or sum(outcomes) <> 0 or sum(arrival_delay_minutes) <> 0
