with

carriers as (

    select * from {{ ref('stg_flight_operations__carriers') }}

),

unknown_member as (

    select
        'UNKNOWN' as carrier_code,
        'Unknown' as carrier_name

),

final as (

    select
        carrier_code,
        carrier_name
    from carriers

    union all

    select
        carrier_code,
        carrier_name
    from unknown_member

)

select * from final
